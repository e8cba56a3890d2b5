"""Colour space of a compressed stream by its markers, and whether Photometric Interpretation agrees.

A decoder of JPEG follows JFIF, else the marker of Adobe, else the names of the components, as libjpeg does; a reader
of DICOM follows Photometric Interpretation, as GDCM and dcmtk do (PS3.5 8.2.1). Where the two differ, readers show
different colours. Decoders of JPEG 2000 undo the component
transform that the stream names, whatever the header says (PS3.5 8.2.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from itk_roundtrip.dicom.codestream import Stream

Colours = Literal["", "RGB", "YCbCr", "RCT", "ICT", "no component transform"]
"""Colours of a JPEG, or the component transform of a JPEG 2000; empty where a stream does not say."""


@dataclass(frozen=True)
class Contradiction:
    """A stream that states another colour space than Photometric Interpretation does.

    Attributes
    ----------
    codec
        ``JPEG`` or ``JPEG 2000``.
    stated
        Colour space or component transform that the stream states.
    photometric_interpretation
        Value of (0028,0004).
    subsampled
        The stream has chroma of half the resolution.
    """

    codec: str
    stated: Colours
    photometric_interpretation: str
    subsampled: bool = False

    @property
    def is_ambiguous(self) -> bool:
        """Whether readers may show different colours.

        The colours of a JPEG 2000 with a component transform are RGB once decoded, as RGB, YBR_RCT and YBR_ICT say.
        """
        transformed = self.stated in ("RCT", "ICT")
        return not (transformed and self.photometric_interpretation in ("RGB", "YBR_RCT", "YBR_ICT"))

    def __str__(self) -> str:
        says = f"the {self.codec} stream says {self.stated}"
        return f"{says} and Photometric Interpretation {self.photometric_interpretation}"


def contradiction(photometric_interpretation: str, streams: Iterable[Stream]) -> Contradiction | None:
    """Return how the streams of an image contradict Photometric Interpretation, an ambiguous contradiction first.

    ``None`` if they agree with it, or do not state their colours.
    """
    contradictions = []
    for stream in streams:
        stated, expected = stated_colours(stream), _EXPECTED.get(photometric_interpretation)
        if stated and expected is not None and stated not in expected:
            contradictions.append(
                Contradiction(stream.codec, stated, photometric_interpretation, bool(stream.is_subsampled))
            )
    return max(contradictions, key=lambda contradiction: contradiction.is_ambiguous, default=None)


_EXPECTED: dict[str, tuple[Colours, ...]] = {
    "RGB": ("RGB", "no component transform"),
    **dict.fromkeys(("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"),
                    ("YCbCr", "no component transform")),
    "YBR_RCT": ("RCT",),
    "YBR_ICT": ("ICT",),
}  # fmt: skip
"""What a stream may say under each Photometric Interpretation (PS3.3 C.7.6.3.1.2)."""


def stated_colours(stream: Stream) -> Colours:
    """Return the colour space, or of JPEG 2000 the component transform, that a stream of three components states.

    A JPEG states it by its markers, else by components named R, G and B, else by chroma of half the resolution, which
    RGB has not. Components named 1, 2 and 3 say nothing: encoders of DICOM name them so whatever they hold.
    """
    if len(stream.components) != 3:
        return ""
    if stream.codec in ("JPEG 2000", "HTJ2K"):
        if not stream.component_transform:
            return "" if stream.component_transform is None else "no component transform"
        return "" if stream.reversible is None else "RCT" if stream.reversible else "ICT"
    if stream.codec != "JPEG":
        return ""
    if stream.jfif or stream.adobe_transform is not None:
        return "YCbCr" if stream.jfif or stream.adobe_transform else "RGB"
    if bytes(component.identifier for component in stream.components) == b"RGB":
        return "RGB"
    return "YCbCr" if stream.is_subsampled else ""
