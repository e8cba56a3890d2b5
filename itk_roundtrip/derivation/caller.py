"""Header edits by the caller: values for attributes that no rule owns, in the VR and character set of the data set.

What the caller passes is written as it was said, or refused with the name of the attribute and the reason. Messages
never hold the value, which may be of a patient.
"""

from __future__ import annotations

import difflib
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydicom._dicom_dict import DicomDictionary
from pydicom.charset import decode_bytes, default_encoding, encode_string
from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_VM,
    dictionary_VR,
    keyword_for_tag,
    private_dictionary_VR,
    tag_for_keyword,
)
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from itk_roundtrip import tags
from itk_roundtrip.derivation.elements import encodings_of
from itk_roundtrip.dicom import values
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.dicom.edits import Edit, Edits, Removed
from itk_roundtrip.dicom.encoding import NUMBER_FORMATS
from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.rules import BY_TAG, CALLER_MAY_SET, OWNED, private_scale
from itk_roundtrip.tags import creator_tag, tag_text
from itk_roundtrip.words import counted

Value = str | int | float | Sequence[str | int | float] | None
"""Value of an attribute: one or several texts or numbers; ``None`` removes the attribute."""
Settings = Mapping[str | int, Value]
"""Values of attributes, by keyword or tag."""

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4})[,|]?([0-9A-Fa-f]{4})\)?")
_INTEGERS = {
    "US": (0, 2**16 - 1), "SS": (-(2**15), 2**15 - 1), "UL": (0, 2**32 - 1), "SL": (-(2**31), 2**31 - 1),
    "UV": (0, 2**64 - 1), "SV": (-(2**63), 2**63 - 1), "IS": (-(2**31), 2**31 - 1),
}  # fmt: skip
_SINGLE = frozenset({"LT", "ST", "UR", "UT"})
"""VRs of a single value, in which a backslash is a character."""
_ENCODED = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs in the data set's character set (PS3.5 6.1.2.3)."""
_LENGTHS = {"LO": 64, "SH": 16, "ST": 1024, "LT": 10240, "PN": 64, "AE": 16, "CS": 16, "DS": 16, "IS": 12}
"""Most characters of a value; of VR PN, of a component group (PS3.5 6.2)."""
_TIME = r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"
_PATTERNS = {
    "AE": (r"[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*", "no Application Entity title"),
    "AS": (r"\d{3}[DWMY]", "no age as 045Y"),
    "CS": (r"[A-Z0-9 _]*", "not in capital letters, digits, spaces and underscores"),
    "DA": (r"\d{8}", "no date as YYYYMMDD"),
    "DS": (r" *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *", "no decimal number"),
    "DT": (r"\d{4}(?:\d\d(?:\d\d(?:" + _TIME + r")?)?)?(?:[+-]\d{4})?", "no date and time as YYYYMMDDHHMMSS"),
    "IS": (r" *[+-]?\d+ *", "no whole number"),
    "TM": (_TIME, "no time as HHMMSS"),
    "UR": (r"[!-~]*", "no URI"),
}  # fmt: skip
"""Pattern of a value that is not empty (PS3.5 6.2), and how a value that does not match is called."""


class _Attribute(NamedTuple):
    """An attribute that the caller named."""

    name: str
    tag: int
    vr: str
    vm: str


def caller_edits(source: Dataset, values: Mapping[str | int, Value]) -> Edits:
    """Return the edits that the caller asks for, by tag.

    Parameters
    ----------
    source
        Data set of the source instance, undecoded.
    values
        By keyword, or by tag as a number or as ``0008|103e`` or ``(0008,103E)``. A text with backslashes holds several
        values, where the VR allows several. ``None`` removes the attribute.

    Raises
    ------
    RoundtripError
        An attribute is unknown or owned by a rule, or a value breaks its VR, its multiplicity or the character set.
    """
    result: Edits = {}
    for key, value in values.items():
        tag, name = _named(key)
        check_owner(source, tag, name)
        attribute = _attribute(source, tag, name)
        if tag in result:
            raise _refusal(attribute, "is named twice")
        if value is not None:
            result[tag] = Edit(tag, attribute.vr, _encoded(source, attribute, value))
        elif tag in source:
            result[tag] = Removed(tag)
    return result


def tag_of(key: str | int) -> int:
    """Return the tag that a key names.

    Raises
    ------
    RoundtripError
        It names none.
    """
    return _named(key)[0]


def name_of(key: str | int) -> str:
    """Return the keyword of the attribute that a key names, or the text of its tag where it has none."""
    tag = tag_of(key)
    return keyword_for_tag(tag) or tag_text(tag)


def value_in_slice(key: str | int, value: Any, index: int, count: int) -> Any:
    """Return the value of an attribute in one of ``count`` slices: its own if ``value`` is a list of one for each.

    Raises
    ------
    RoundtripError
        The list may also be the values of each slice, by the multiplicity of the attribute.
    """
    if not isinstance(value, list | tuple) or len(value) != count or count == 1:
        return value
    tag, name = _named(key)
    known = dictionary_has_tag(tag)
    multiplicity = "1-n" if not known else "1" if dictionary_VR(tag) in _SINGLE else dictionary_VM(tag)
    # No single value is a list, a function, or None, which removes the attribute.
    is_flat = not any(part is None or callable(part) or isinstance(part, list | tuple) for part in value)
    if is_flat and _is_allowed_count(count, multiplicity):
        raise RoundtripError(
            f"{name} may hold {counted(count, 'value')}, as many as slices are written: pass a function of the index of"
            " the slice instead of the list, as `lambda index: values[index]` for one in each, or"
            " `lambda index: values` for all in each.",
            tag=tag_text(tag),
        )
    return value[index]


def _named(key: str | int) -> tuple[int, str]:
    """Return the tag that a key names, and what messages call it."""
    if isinstance(key, int):
        tag = int(key)
    elif match := _TAG.fullmatch(key.strip()):
        tag = int(match[1] + match[2], 16)
    else:
        tag = tag_for_keyword(key) or 0 if key else 0
        if not tag:
            keywords = [entry[4] for entry in DicomDictionary.values()]
            near = difflib.get_close_matches(key, keywords, 1)
            advice = f"; did you mean {near[0]}?" if near else ""
            shown = f'"{key}"' if len(key) <= 64 and key.isprintable() else "A key"
            raise RoundtripError(f"{shown} is no keyword of an attribute (PS3.6){advice or '.'}")
    if not 0 < tag <= 0xFFFFFFFF:
        raise RoundtripError(f"{tag} is no tag of an attribute.")
    keyword = keyword_for_tag(tag)
    return tag, f"{keyword} {tag_text(tag)}" if keyword else tag_text(tag)


def check_owner(source: Dataset, tag: int, name: str) -> None:
    """Refuse attributes that the rules own: what is new in a derived instance, its pixels, geometry and encoding."""

    def refuse(reason: str) -> RoundtripError:
        return RoundtripError(f"{name} cannot be set: {reason}.", tag=tag_text(tag))

    group, element = tag >> 16, tag & 0xFFFF
    if group <= 0x0002 or group in (0x0004, 0x0006, 0xFFFE) or element == 0:
        raise refuse("it belongs to the file, whose writer sets it")
    if group & 1:
        creator = values.text(source, creator_tag(tag)) if element > 0xFF else ""
        if element <= 0xFF:
            raise refuse("it reserves a block of private attributes")
        if private_scale(tag, creator) is not None:
            raise refuse("it is a scale of the pixels, which an image changes")
        return
    rule = BY_TAG.get(tag)
    if rule is not None and rule.action != "keep" and not rule.caller:
        done = {"new": "is new in a derived instance", "set": "is set", "append": "is added to", "remove": "is removed"}
        raise refuse(f"by its rule it {done[rule.action]} ({rule.detail})")
    if group >= 0x7F00:
        raise refuse("it belongs to the pixels, which an image changes")
    if dictionary_has_tag(tag) and dictionary_VR(tag) == "UI":
        raise refuse("UIDs are kept, or made by the rules")
    reason = OWNED.get(tag, "")
    if not reason and group == 0x0028 and tag not in CALLER_MAY_SET:
        reason = "it describes the pixels, which an image changes"
    if not reason and group & 0xFF00 in (0x5000, 0x6000):
        reason = "it belongs to a curve or an overlay"
    if reason:
        raise refuse(reason)


def _attribute(source: Dataset, tag: int, name: str) -> _Attribute:
    """Return an attribute with its VR: by the dictionary, of a private one that of the source."""
    vr, vm = "", "1-n"
    if tag >> 16 & 1:
        element = source.get_item(tag) if tag in source else None
        vr = str(element.VR) if element is not None else ""
        if vr in ("", "None", "UN"):
            creator = values.text(source, creator_tag(tag))
            try:
                vr = private_dictionary_VR(tag, creator)
            except KeyError:
                vr = ""
        if not vr:
            raise RoundtripError(
                f"{name} cannot be set: it is private, and nothing says which VR it has.", tag=tag_text(tag)
            )
    elif dictionary_has_tag(tag):
        vr, vm = dictionary_VR(tag), dictionary_VM(tag)
    else:
        raise RoundtripError(f"{name} cannot be set: it is no attribute of PS3.6.", tag=tag_text(tag))
    if vr == "US or SS":
        vr = "SS" if values.unsigned_short(source, tags.PIXEL_REPRESENTATION) == 1 else "US"
    attribute = _Attribute(name, tag, vr, vm)
    if vr == "SQ":
        raise _refusal(attribute, "is a sequence, which is kept as it stands")
    if vr not in NUMBER_FORMATS and vr not in _ENCODED and vr not in _PATTERNS:
        raise _refusal(attribute, f"has the VR {vr}, whose values are no texts or numbers")
    return attribute


def _refusal(attribute: _Attribute, reason: str) -> RoundtripError:
    return RoundtripError(f"{attribute.name} cannot be set: it {reason}.", tag=tag_text(attribute.tag))


def _bad_value(attribute: _Attribute, reason: str) -> RoundtripError:
    return RoundtripError(f"{attribute.name}: a value {reason} (VR {attribute.vr}).", tag=tag_text(attribute.tag))


def _encoded(source: Dataset, attribute: _Attribute, value: Any) -> bytes:
    """Return the encoded value of an attribute, without padding."""
    vr = attribute.vr
    if isinstance(value, str):
        values = [value] if vr in _SINGLE else value.split("\\")
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        values = list(value)
    else:
        values = [value]
    if values == [""]:
        return b""
    if not _is_allowed_count(len(values), "1" if vr in _SINGLE else attribute.vm):
        raise _bad_value(attribute, f"is not as many as its multiplicity {attribute.vm} asks for") from None
    if vr in NUMBER_FORMATS:
        return b"".join(_word(attribute, part) for part in values)
    texts = [_text(attribute, part) for part in values]
    for text in texts:
        _check_text(attribute, text)
    if vr in _ENCODED:
        return b"\\".join(_in_character_set(source, attribute, text) for text in texts)
    return b"\\".join(text.encode("ascii") for text in texts)


def _is_allowed_count(count: int, multiplicity: str) -> bool:
    """Tell whether a number of values fits a value multiplicity, such as 1, 1-3, 2-n or 2-2n (PS3.5 6.4)."""
    for part in multiplicity.split(" or "):
        low, _, high = part.partition("-")
        if not high:
            if low == "n" or count == int(low):
                return True
        elif high.endswith("n"):
            step = int(high[:-1] or 1)
            if count >= int(low) and (count - int(low)) % step == 0:
                return True
        elif int(low) <= count <= int(high):
            return True
    return False


def _word(attribute: _Attribute, value: Any) -> bytes:
    """Return the word of a number of a binary VR."""
    vr = attribute.vr
    number = decimal(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        number = _as_number(number)
    if number is None:
        raise _bad_value(attribute, "is no number")
    if vr in _INTEGERS:
        low, high = _INTEGERS[vr]
        if number != int(number) or not low <= number <= high:
            raise _bad_value(attribute, f"is no whole number from {low} to {high}")
    try:
        return values.word(vr, number)
    except OverflowError:
        raise _bad_value(attribute, "is too large") from None


def _as_number(value: Any) -> int | float | None:
    """Return a number of any class, such as that of NumPy; ``None`` for anything else, for ``bool`` and for NaN."""
    if isinstance(value, bool) or not (hasattr(value, "__index__") or hasattr(value, "__float__")):
        return None
    number: int | float = value.__index__() if hasattr(value, "__index__") else float(value)
    return number if math.isfinite(number) else None


def _text(attribute: _Attribute, value: Any) -> str:
    """Return a value as text; of a number, the digits that the VR has room for."""
    if isinstance(value, str):
        return value
    number = _as_number(value) if attribute.vr in ("DS", "IS") else None
    if number is None:
        raise _bad_value(attribute, "is no text")
    if attribute.vr == "IS" and number != int(number):
        raise _bad_value(attribute, "is no whole number")
    if number == int(number) and len(str(int(number))) <= _LENGTHS[attribute.vr]:
        return str(int(number))
    digits = (f"{number:.{precision}g}" for precision in range(17, 0, -1))
    return next(text for text in (repr(number), *digits) if len(text) <= _LENGTHS["DS"])


def _check_text(attribute: _Attribute, text: str) -> None:
    """Refuse a single value that breaks its VR (PS3.5 6.2)."""
    vr = attribute.vr
    controls = {"\n", "\r", "\t", "\f"} if vr in ("LT", "ST", "UT") else set()
    if any((character < " " or character == "\x7f") and character not in controls for character in text):
        raise _bad_value(attribute, "holds control characters")
    if "\\" in text and vr not in _SINGLE:
        raise _bad_value(attribute, "holds a backslash, which separates values")
    if vr == "PN":
        groups = text.split("=")
        if len(groups) > 3 or any(len(group.split("^")) > 5 for group in groups):
            raise _bad_value(attribute, "has more than 3 component groups or 5 components")
        parts = groups
    else:
        parts = [text]
    limit = _LENGTHS.get(vr)
    if limit is not None and any(len(part) > limit for part in parts):
        raise _bad_value(attribute, f"is longer than {limit} characters")
    pattern = _PATTERNS.get(vr)
    if pattern is None or not text:
        return
    if not text.isascii() or not re.fullmatch(pattern[0], text):
        raise _bad_value(attribute, f"is {pattern[1]}")
    if vr in ("DA", "DT") and not _is_date(text):
        raise _bad_value(attribute, "is no date of the calendar")
    if vr == "DS" and decimal(text) is None:
        raise _bad_value(attribute, "is too large")
    if vr == "IS" and not _INTEGERS["IS"][0] <= int(text) <= _INTEGERS["IS"][1]:
        raise _bad_value(attribute, "does not fit 32 bits")


def _is_date(text: str) -> bool:
    """Tell whether a value of VR DA or DT begins with a date of the calendar, as far as it says one."""
    digits = re.match(r"\d{4}(?:\d{2}(?:\d{2})?)?", text)
    found = digits[0] if digits else ""
    try:
        return bool(datetime.strptime(found, {4: "%Y", 6: "%Y%m", 8: "%Y%m%d"}[len(found)]))
    except (KeyError, ValueError):
        return False


def _in_character_set(source: Dataset, attribute: _Attribute, text: str) -> bytes:
    """Return a value in Specific Character Set, from which it reads as it was."""
    encodings, read = encodings_of(source), None
    encode: Callable[[str], bytes] = lambda part: encode_string(part, encodings)  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom writes question marks for what it cannot encode
        try:
            if attribute.vr == "PN":
                value = b"=".join(b"^".join(map(encode, group.split("^"))) for group in text.split("="))
                read = str(PersonName(value, encodings, b""))
            else:
                value = encode(text)
                read = decode_bytes(value, encodings, set())
        except (UnicodeError, LookupError, ValueError):
            pass
    # pydicom takes Latin-1 for the default character repertoire, which is ASCII (PS3.5 6.1.2.1).
    is_beyond = encodings[0] == default_encoding and any("\x7f" < character <= "\xff" for character in text)
    if read != text or is_beyond:
        named = source.get("SpecificCharacterSet") or "ISO_IR 6 (ASCII)"
        name = named if isinstance(named, str) else "\\".join(named)
        raise _bad_value(
            attribute,
            f"has characters that the character set of the file, {name}, does not have; write it without them",
        )
    return value
