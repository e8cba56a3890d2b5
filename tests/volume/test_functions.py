"""The user's function: found, checked, called as it asks, its result taken, its errors told without patient data."""

from __future__ import annotations

import os
import pickle
import py_compile
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import SimpleITK
from synthetic import write_case, write_series

import itk_roundtrip as rt
from itk_roundtrip.itk_io.filters import Filter, parse_filter
from itk_roundtrip.volume.functions import (
    Function,
    call,
    check_parameters,
    load_function,
    of_filter,
    parse_parameters,
)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> rt.Series:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, slices=6)
    return rt.find_series(folder)[0]


@pytest.fixture
def volume(series: rt.Series) -> rt.Volume:
    return rt.read_series(series)


Load = Callable[..., Function]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write a file ``work.py`` and load a function of it."""

    def write_and_load(text: str, name: str = "work") -> Function:
        (tmp_path / "work.py").write_text(text)
        return load_function(f"{tmp_path / 'work.py'}:{name}")

    path = list(sys.path)
    yield write_and_load
    sys.path[:] = path


# ----------------------------------------------------------------------------------------------- what the function gets

GIVEN = {
    "def work(image): return image": "itkImageSS3",
    "import itk\ndef work(image: itk.Image): return image": "itkImageSS3",
    "import itk\ndef work(image: itk.Image[itk.SS, 3]): return image": "itkImageSS3",
    "import itk\ndef work(image: itk.Image[itk.F, 3]): return image": "itkImageF3",
    "from typing import Any\ndef work(image: Any): return image": "itkImageSS3",
    "from __future__ import annotations\nimport itk\ndef work(image: itk.Image): return image": "itkImageSS3",
    "import numpy as np\ndef work(image: np.ndarray): return image": "ndarray",
    "from typing import Any\nfrom numpy.typing import NDArray\ndef work(image: NDArray[Any]): return image": "ndarray",
    "def work(image: 'np.ndarray'): return image": "ndarray",
    "from __future__ import annotations\nimport numpy\ndef work(image: numpy.ndarray): return image": "ndarray",
    "import SimpleITK as sitk\ndef work(image: sitk.Image): return image": "Image",
    "from __future__ import annotations\nfrom SimpleITK import Image\ndef work(image: Image): return image": "Image",
    "def work(image: 'sitk.Image'): return image": "Image",
    "import functools, numpy\ndef f(i: numpy.ndarray, k): return i\nwork = functools.partial(f, k=1)": "ndarray",
    "import numpy\nclass W:\n  def __call__(self, image: numpy.ndarray): return image\nwork = W()": "ndarray",
}


@pytest.mark.parametrize("text", GIVEN)
@pytest.mark.parametrize("backend", ["itk", "simpleitk"])
def test_it_gets_what_it_is_annotated_with(text: str, backend: Any, series: rt.Series, load: Load) -> None:
    volume = rt.read_series(series, backend=backend)
    function, seen = load(text), []
    recorded = Function(_Recorded(function.call, seen), "work", function.file)
    np.testing.assert_array_equal(call(recorded, volume, {}), volume.array_zyx)
    assert [type(image).__name__ for image in seen] == [GIVEN[text]]
    if GIVEN[text] != "ndarray":
        np.testing.assert_allclose(list(seen[0].GetOrigin()), list(volume.image.GetOrigin()), rtol=0)


class _Recorded:
    """A function that keeps what it was given."""

    def __init__(self, function: Callable[..., Any], seen: list[Any]) -> None:
        self.__wrapped__ = function
        self.seen = seen

    def __call__(self, image: Any, **parameters: Any) -> Any:
        self.seen.append(image)
        return self.__wrapped__(image, **parameters)


def test_it_gets_the_spacing_if_it_asks_for_it(volume: rt.Volume, load: Load) -> None:
    text = "import numpy as np\ndef work(image: np.ndarray, *, spacing_xyz, factor=1):\n"
    text += "    assert len(spacing_xyz) == 3\n    return image * factor + spacing_xyz[2]"
    np.testing.assert_array_equal(call(load(text), volume, {"factor": 2}), volume.array_zyx * 2 + 2.5)
    text = "import numpy as np\ndef work(image: np.ndarray, **others):\n    assert not others\n    return image"
    call(load(text), volume, {})


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("int", "is annotated with int; annotate it with itk.Image"),
        ("list[float]", "is annotated with list"),
        ("'Mystery'", "cannot be evaluated"),
        ("itk.Image[itk.UC, 3]", "type UC, which does not hold the values of the volume, SS, exactly"),
        ("itk.Image[itk.SS, 2]", "is annotated with itkImageSS2"),
        ("itk.Point", "is annotated with"),
    ],
)
def test_what_it_cannot_get_is_refused(annotation: str, message: str, volume: rt.Volume, load: Load) -> None:
    with pytest.raises(rt.FunctionError, match=message):
        call(load(f"import itk\ndef work(image: {annotation}): return image"), volume, {})


def test_functions_of_packages(volume: rt.Volume) -> None:
    median = call(load_function("itk:median_image_filter"), volume, {"radius": 1})
    np.testing.assert_array_equal(median, itk.array_from_image(itk.median_image_filter(volume.image, radius=1)))
    np.testing.assert_array_equal(call(load_function("numpy:asarray"), volume, {}), volume.array_zyx)


def test_loading_leaves_no_bytecode_and_takes_none(load: Load, volume: rt.Volume, tmp_path: Path) -> None:
    """A file that is changed to one of the same size and time, as within a second, is loaded as it stands."""
    (tmp_path / "amounts.py").write_text("AMOUNT = 1")
    work = "from amounts import AMOUNT\ndef work(image): return image"
    os.utime(load(work).file, (1, 1))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["amounts.py", "work.py"]
    py_compile.compile(str(tmp_path / "work.py"))
    (tmp_path / "work.py").write_text(work.replace("return image", "return None "))
    os.utime(tmp_path / "work.py", (1, 1))
    assert load_function(f"{tmp_path / 'work.py'}:work").call(volume.image) is None


USES = """
import itk, numpy as np

def work(image):
    assert image.astype(itk.F).dtype == np.float32
    assert itk.template(image)[0] is itk.Image and itk.class_(image) is itk.Image[itk.SS, 3]
    assert itk.array_from_matrix(image.GetDirection()).shape == np.asarray(image.GetDirection()).shape == (3, 3)
    assert image.TransformIndexToPhysicalPoint([0, 0, 0]) == itk.origin(image)
    assert itk.range(image) == (np.asarray(image).min(), np.asarray(image).max())
    return itk.cast_image_filter(image, ttype=(type(image), itk.Image[itk.F, 3]))
"""


@pytest.mark.parametrize("way", ["read_series", "apply"])
def test_an_image_is_like_any_other_of_itk(way: str, tmp_path: Path) -> None:
    """In a process that has used nothing of ITK, whose Python fills its tables of templates on demand."""
    write_series(tmp_path / "in", slices=3)
    (tmp_path / "uses.py").write_text(USES)
    code = {
        "read_series": "import uses; uses.work(rt.read_series(rt.find_series('in')[0]).image)",
        "apply": "rt.roundtrip('in', 'out', apply='uses.py:work')",
    }[way]
    code = f"import sys; sys.path.append('.'); import itk_roundtrip as rt; {code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


def test_colours_of_16_bits_are_no_itk_image(tmp_path: Path, load: Load) -> None:
    write_case("rgb_16", tmp_path / "in")
    read = rt.read_series(rt.find_series(tmp_path / "in")[0])
    with pytest.raises(rt.FunctionError, match="does not have of 16-bit colours"):
        call(load("def work(image): return image"), read, {})
    text = "import SimpleITK\ndef work(image: SimpleITK.Image): return image"
    np.testing.assert_array_equal(call(load(text), read, {}), read.array_zyx)


# ------------------------------------------------------------------------------------------------------ what it returns


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", r"The result of .*work.py:work is None, not an itk\.Image"),
        ("3.5", "is a float, not"),
        ("'image.nrrd'", "is a str, not"),
        ("[image]", "is a list, not"),
        ("np.zeros((3, 3, 3))", "3 x 3 x 3 voxels"),
        ("np.zeros((6, 12, 18), complex)", "complex numbers"),
        ("itk.image_from_array(np.zeros((6, 12, 18), 'f4'))", "does not lie where the volume does"),
    ],
)
def test_what_is_no_image_of_the_volume_is_refused(returned: str, message: str, volume: rt.Volume, load: Load) -> None:
    with pytest.raises(rt.ImageError, match=message):
        call(load(f"import itk, numpy as np\ndef work(image): return {returned}"), volume, {})


def test_an_image_changed_in_place_and_turned_comes_back(volume: rt.Volume, load: Load) -> None:
    text = "import SimpleITK as sitk\ndef work(image: sitk.Image):\n"
    text += "    return sitk.PermuteAxes(sitk.Flip(image + 5, [True, False, True]), [2, 0, 1])"
    np.testing.assert_array_equal(call(load(text), volume, {}), volume.array_zyx + 5)


# ------------------------------------------------------------------------------------------------------ what goes wrong

SECRET = "Mueller"
"""A name that no message may hold."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"def work(image):\n    raise ValueError('{SECRET}')", r"work raised ValueError at work\.py:2"),
        (f"def work(image):\n    helper()\ndef helper():\n    raise KeyError('{SECRET}')", r"KeyError at work\.py:4"),
        ("import numpy\ndef work(image):\n    numpy.zeros(3).reshape(4)", r"raised ValueError at work\.py:3"),
        ("import sys\ndef work(image):\n    sys.exit('" + SECRET + "')", r"raised SystemExit at work\.py:3"),
        ("import itk\ndef work(image):\n    return itk.imread('/absent')", r"at work\.py:3"),
        (
            f"import itk_roundtrip as rt\ndef work(image):\n    raise rt.SeriesReadError('{SECRET}')",
            r"raised SeriesReadError at work\.py:3",
        ),
    ],
)
def test_errors_are_told_without_their_messages(text: str, message: str, volume: rt.Volume, load: Load) -> None:
    function = load(text)
    with pytest.raises(rt.FunctionError, match=message) as caught:
        call(function, volume, {})
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.details == ""
    with pytest.raises(rt.FunctionError) as caught:
        call(function, volume, {}, debug=True)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.details.startswith("Traceback")
    assert SECRET not in str(again)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def work(image:\n", r"work\.py, line 1: this is no valid Python"),
        ("x = 1\nraise RuntimeError('Mueller')", r"cannot be loaded: RuntimeError at work\.py:2"),
        ("import sys\nsys.exit(3)", r"cannot be loaded: SystemExit at work\.py:2"),
        (f"raise SyntaxError('{SECRET}')", r"work\.py: this is no valid Python\."),
        (f"import itk_roundtrip as rt\nraise rt.RoundtripError('{SECRET}')", r"loaded: RoundtripError at work\.py:2"),
        ("import no_such_module_anywhere", "needs the module no_such_module_anywhere, which is not installed"),
        ("def other(image): ...\ndef _hidden(): ...\nimport os", "has no function work; it has other"),
        ("x = 1", "has no function work; it has none"),
        ("work = [1]", "work in .*work.py is no function but of type list"),
    ],
)
def test_what_cannot_be_loaded(text: str, message: str, load: Load) -> None:
    with pytest.raises(rt.FunctionError, match=message) as caught:
        load(text)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("work.py", "names no function; name it as FILE.py:FUNCTION"),
        ("work.py:", "names no function"),
        (":work", "names no function"),
        ("absent.py:work", r"absent\.py is not a file"),
        ("no_such_package.module:work", r"There is no module no_such_package\.module"),
        ("itk_roundtrip.absent:work", r"There is no module itk_roundtrip\.absent"),
        ("folder/:work", "is not a file"),
    ],
)
def test_what_does_not_exist(name: str, message: str) -> None:
    with pytest.raises(rt.FunctionError, match=message):
        load_function(name)


def test_a_file_finds_its_neighbours(tmp_path: Path, load: Load, volume: rt.Volume) -> None:
    (tmp_path / "neighbour_of_work.py").write_text("def plus(image): return image + 1")
    function = load(
        "import numpy\nfrom neighbour_of_work import plus\ndef work(image: numpy.ndarray): return plus(image)"
    )
    np.testing.assert_array_equal(call(function, volume, {}), volume.array_zyx + 1)


# ----------------------------------------------------------------------------------------------------------- parameters


def test_parameters_are_json_or_text() -> None:
    texts = ["radius=1", "sigma=1.5", "name=abc", "both=a=b", "flags=[true, null]", "empty=", 'quoted="1"']
    assert parse_parameters(texts) == {
        "radius": 1, "sigma": 1.5, "name": "abc", "both": "a=b", "flags": [True, None], "empty": "", "quoted": "1",
    }  # fmt: skip


@pytest.mark.parametrize("texts", [["radius"], ["=1"], ["1a=2"], ["a b=1"], ["a=1", "a=2"]])
def test_parameters_that_are_none(texts: list[str]) -> None:
    with pytest.raises(rt.FunctionError, match=r"NAME=VALUE|given twice"):
        parse_parameters(texts)


@pytest.mark.parametrize(
    ("signature", "parameters", "message"),
    [
        ("image, radius", {}, "needs the parameter radius"),
        ("image, radius=1", {"raduis": 1}, "has no parameter raduis; it has radius"),
        ("image", {"radius": 1}, "has no parameter radius; it has no parameters but the image"),
        ("image, *, spacing_xyz", {"spacing_xyz": [1]}, "comes from the volume; leave it out"),
        ("image, **others", {"image": 1}, "has no parameter image"),
        ("image, radius, /", {"radius": 1}, "has no parameter radius"),
        ("", {}, "takes no image: it has no parameters"),
        ("*, image", {}, "takes no image: it has no positional"),
        ("image, radius", {"radius": 1}, ""),
        ("image, **others", {"anything": 1}, ""),
        ("*images, radius=2", {"radius": 1}, ""),
    ],
)
def test_parameters_are_those_of_the_function(
    signature: str, parameters: dict[str, Any], message: str, load: Load
) -> None:
    function = load(f"def work({signature}): ...")
    if not message:
        check_parameters(function, parameters)
        return
    with pytest.raises(rt.FunctionError, match=re.escape(message).replace(r"\ ", " ")):
        check_parameters(function, parameters)


# -------------------------------------------------------------------------------------------------------------- filters


def test_median(volume: rt.Volume) -> None:
    median = parse_filter("median:radius=1")
    result = call(of_filter(median), volume, {})
    np.testing.assert_array_equal(result, itk.array_from_image(itk.median_image_filter(volume.image, radius=1)))
    assert result.dtype == volume.array_zyx.dtype
    assert (median.derivation, median.code, median.footprint_slices) == ("median filter, radius 1 voxel", None, 1)


def test_gaussian(volume: rt.Volume, tmp_path: Path) -> None:
    """In mm, along all axes; in its plane for a single slice; not at all where the slices are too few."""
    gaussian = parse_filter("gaussian:sigma_mm=1.5")
    image = itk.image_from_array(np.asarray(volume.array_zyx).astype("f4"))
    image.CopyInformation(volume.image)
    expected = itk.array_from_image(itk.smoothing_recursive_gaussian_image_filter(image, sigma=1.5))
    np.testing.assert_allclose(call(of_filter(gaussian), volume, {}), expected, rtol=0, atol=1e-3)
    assert gaussian.code == ("113088", "DCM", "Gaussian blur")
    assert gaussian.footprint_slices is None
    assert "sigma 1.5 mm" in gaussian.derivation
    for slices in (1, 3):
        write_series(tmp_path / str(slices), slices=slices)
        few = rt.read_series(rt.find_series(tmp_path / str(slices))[0])
        if slices == 3:
            with pytest.raises(rt.FunctionError, match="gaussian needs 4 slices or more, and the volume has 3"):
                call(of_filter(gaussian), few, {})
        else:
            assert call(of_filter(gaussian), few, {}).shape == few.array_zyx.shape


@pytest.mark.parametrize(
    ("text", "function", "dtype", "derivation"),
    [
        ("clamp:lower=0,upper=100", lambda a: a.clip(0, 100), "i2",
         "values below 0 set to 0, values above 100 set to 100"),
        ("clamp:upper=0.5", lambda a: a.astype("f4").clip(None, 0.5), "f4", "values above 0.5 set to 0.5"),
        ("clamp:upper=0.1", lambda a: a.astype("f8").clip(None, 0.1), "f8", "values above 0.1 set to 0.1"),
        ("clamp:lower=-1e6", lambda a: a, "f4", "values below -1000000.0 set to -1000000.0"),
        ("threshold:lower=0,upper=100", lambda a: np.where((a < 0) | (a > 100), 0, a), "i2",
         "values below 0 set to 0, values above 100 set to 0"),
        ("threshold:upper=50,outside=-1024", lambda a: np.where(a > 50, -1024, a), "i2",
         "values above 50 set to -1024"),
        ("threshold:lower=0,outside=-0.5", lambda a: np.where(a < 0, -0.5, a), "f4", "values below 0 set to -0.5"),
    ],
)  # fmt: skip
def test_clamp_and_threshold(
    text: str, function: Callable[[Any], Any], dtype: str, derivation: str, volume: rt.Volume
) -> None:
    chosen = parse_filter(text)
    result = call(of_filter(chosen), volume, {})
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, function(np.asarray(volume.array_zyx)))
    assert (chosen.derivation, chosen.code, chosen.footprint_slices) == (derivation, None, 0)


def test_colours_are_filtered_one_by_one(tmp_path: Path) -> None:
    write_case("rgb", tmp_path)
    read = rt.read_series(rt.find_series(tmp_path)[0])
    for text in ("median:radius=1", "gaussian:sigma_mm=1", "clamp:lower=10,upper=20", "threshold:upper=9"):
        chosen = parse_filter(text)
        result = call(of_filter(chosen), read, {})
        for colour in range(3):
            image = SimpleITK.GetImageFromArray(read.array_zyx[..., colour].astype("u1").copy())
            image.SetSpacing(list(read.image.GetSpacing()))
            np.testing.assert_array_equal(result[..., colour], SimpleITK.GetArrayFromImage(chosen(image)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("medain:radius=1", 'There is no filter "medain"; the filters are clamp, gaussian, median, threshold'),
        ("", "There is no filter"),
        ("median:size=1", 'median has no parameter "size"; it has radius'),
        ("median", "median needs a whole number of voxels"),
        ("median:radius=0", "median needs a whole number"),
        ("median:radius=1.5", "median needs a whole number"),
        ("median:radius=true", "radius of median must be a number"),
        ("median:radius", "radius of median must be a number"),
        ("median:radius=1,radius=2", "median got radius twice"),
        ("gaussian:sigma_mm=0", "gaussian needs a length above 0 mm"),
        ("gaussian:sigma_mm=NaN", "must be a number"),
        ("gaussian", "gaussian needs a length"),
        ("clamp", "clamp needs lower, upper or both"),
        ("clamp:lower=5,upper=4", "lower of clamp is 5, above upper, 4"),
        ("threshold:outside=4", "threshold needs lower, upper or both"),
        ("threshold:lower=Infinity", "must be a number"),
    ],
)
def test_filters_that_are_none(text: str, message: str) -> None:
    with pytest.raises(rt.FunctionError, match=message):
        parse_filter(text)


def test_what_filters_say_can_stand_in_a_header() -> None:
    for text in ("median:radius=2", "gaussian:sigma_mm=1e-3", "clamp:lower=-1e30", "threshold:lower=0,outside=7"):
        chosen = parse_filter(text)
        assert chosen.derivation.isascii()
        assert chosen.derivation.isprintable()
        assert "\\" not in chosen.derivation
        assert isinstance(pickle.loads(pickle.dumps(chosen)), Filter)


# ----------------------------------------------------------------------------------------------------------------- task
