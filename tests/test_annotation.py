"""What is in a `.tflite` file besides the network, the card beside it, and a client that needs no more."""

import base64
import io
import json
import zipfile

import keras
import numpy as np
import pytest
from helpers import CLASSES, ROOT, SIZE, encoder_decoder, pictures, randomize, run_python
from PIL import Image

from segcourse import __version__, tflite
from segcourse.datasets.labels import LabelSpec
from segcourse.tflite import annotation

NAMES = ("road", "sky light", "tree", "Fußweg", "car")
SPEC = LabelSpec("street", NAMES, tuple((40 * i, 255 - i, i) for i in range(CLASSES)))
ORIGIN = {"network": "small", "arguments": {"width": 0.5}, "data": "pictures"}

# A ModelMetadata that MediaPipe 1.2.3's own classes (metadata_schema_py_generated) wrote: an input with mean
# 127.5 and std 64, a range, grey; an output with labels and a unit that we do not know (ScoreThresholding).
FOREIGN = """
HAAAAE0wMDEUABgAFAAQAAAADAAAAAAACAAEABQAAAAUAAAAHAAAAEwAAABAAgAATAIAAAUAAAAxLjUuMAAAAAEAAAAEAAAA
Ev///wAAAAEIAAAAEAAAAAQAAABtb3JlAAAAAAkAAABtb3JlLmpzb24AAAABAAAAHAAAABgAEAAAAAAADAAIAAAAAAAAAAAA
AAAEABgAAAAMAAAAYAAAAAgBAAABAAAABAAAAJz+//8IAAAAMAAAACgAAAAQAAAAVjAwMQgADAALAAQACAAAAAgAAAAAAAAB
BQAAADEuMC4wAAAAEgAAAFNFR01FTlRFUl9NRVRBREFUQQAAAQAAABgAAAAAABIAFAAQAAwAAAAAAAgAAAAEABIAAAAQAAAA
TAAAAGgAAAB0AAAAAQAAABAAAAAAAAoAEAAMAAgABwAKAAAAAAAAAggAAAAQAAAABQAAAG5hbWVzAAAACgAAAGxhYmVscy50
eHQAAAEAAAAEAAAAQP///wwAAAAAAwYACAAEAAYAAAAAAAA/CgAAAG9mIGNsYXNzZXMAAAYAAABzY29yZXMAAAEAAAAUAAAA
EAAYABQAEAAAAAwACAAEABAAAAAUAAAALAAAAHAAAACEAAAAjAAAAMj///8IAAAADAAAAAEAAAAAAMC/AQAAAAAAAEABAAAA
DAAAAAgADAALAAQACAAAABAAAAAAAAABCAAMAAgABAAIAAAACAAAAAwAAAABAAAAAACAQgEAAAAAAP9CCAAKAAkABAAIAAAA
DAAAAAACBgAIAAcABgAAAAAAAAIEAAAAZ3JleQAAAAAHAAAAcGljdHVyZQAJAAAAYSBuZXR3b3JrAAAAAwAAAG5ldAA=
"""


@pytest.fixture(scope="module")
def model():
    return randomize(encoder_decoder())


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("annotated") / "net.tflite"
    return tflite.convert(model, file, SIZE, classes=SPEC, provenance=ORIGIN)


def test_the_file_gives_back_what_was_written(path):
    found = tflite.metadata(path)
    assert found.classes == LabelSpec("street", SPEC.classes, SPEC.palette)
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))
    assert found.input_range == (0, 255)
    assert found.color_space == "RGB"
    assert found.provenance == {"segcourse": __version__, "classes": "street", **ORIGIN}
    assert found.attached == ("labels.txt", "segcourse.json")


def test_any_zip_tool_reads_the_attached_files(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode().split("\n") == list(NAMES)
        assert json.loads(archive.read("segcourse.json"))["colors"][1] == "#28fe01"
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_schema_is_mediapipes():
    found = annotation._unpacked(base64.b64decode(FOREIGN), "ModelMetadata")
    (graph,) = found["subgraph_metadata"]
    image, answer = graph["input_tensor_metadata"][0], graph["output_tensor_metadata"][0]
    assert (found["name"], found["description"], found["min_parser_version"]) == ("net", "a network", "1.5.0")
    assert found["associated_files"] == [{"name": "more.json", "description": "more", "type": 1}]
    assert (image["name"], image["description"]) == ("picture", "grey")
    assert image["content"] == {"content_properties_type": 2, "content_properties": {"color_space": 2}}
    assert image["process_units"] == [{"options_type": 1, "options": {"mean": [127.5], "std": [64.0]}}]
    assert image["stats"] == {"max": [2.0], "min": [-1.5]}
    assert answer["process_units"] == [{"options_type": 3}]
    assert answer["associated_files"] == [{"name": "labels.txt", "description": "names", "type": 2}]
    (custom,) = graph["custom_metadata"]
    assert custom["name"] == "SEGMENTER_METADATA"
    options = annotation._unpacked(custom["data"], "ImageSegmenterOptions")
    assert options == {"activation": 1, "min_parser_version": "1.0.0"}
    again = annotation._packed("ModelMetadata", found, b"M001")
    assert annotation._unpacked(again, "ModelMetadata") == found
    assert again[4:8] == b"M001"


def test_the_file_says_in_mediapipes_schema_what_imagesegmenter_needs(path):
    stored = annotation._stored(path.read_bytes())
    (graph,) = annotation._unpacked(stored, "ModelMetadata")["subgraph_metadata"]
    (image,), (answer,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert image["process_units"][0]["options"] == {"mean": [0, 0, 0], "std": [1, 1, 1]}
    assert [(file["name"], file["type"]) for file in answer["associated_files"]] == [("labels.txt", 2)]
    options = annotation._unpacked(graph["custom_metadata"][0]["data"], "ImageSegmenterOptions")
    assert options["activation"] == 2  # softmax: our scores are logits


def test_the_metadata_leave_the_network_alone(model, path, tmp_path):
    images = pictures(2, seed=2)[0]
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(path.read_bytes())
    other = LabelSpec("other", tuple("abcde"), SPEC.palette)
    tflite.annotate(plain, other, {"network": "renamed"})
    np.testing.assert_array_equal(tflite.Runner(plain)(images), tflite.Runner(path)(images))
    assert tflite.metadata(plain).names == other.classes
    assert tflite.metadata(plain).provenance["network"] == "renamed"
    with zipfile.ZipFile(plain) as archive:  # the old files are gone
        assert archive.namelist() == ["labels.txt", "segcourse.json"]
    assert tflite.inspect(plain).operators == tflite.inspect(path).operators
    assert tflite.inspect(plain).gpu_ready


def test_annotating_twice_gives_the_same_bytes(path, tmp_path):
    once = annotation.annotated(path.read_bytes(), SPEC, ORIGIN)
    assert annotation.annotated(once, SPEC, ORIGIN) == once
    assert once != annotation.annotated(once, SPEC, {})


def test_a_file_of_another_maker(model, path, tmp_path):
    """Without what we add there are no metadata; with foreign ones, their normalisation is obeyed."""
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    content.metadata = [entry for entry in content.metadata if entry.name != annotation.NAME]
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(_packed(content))
    assert tflite.metadata(foreign) is None
    images = pictures(1, seed=2)[0]
    before = tflite.Runner(foreign)(images)

    annotation._store(content, base64.b64decode(FOREIGN))
    buffer = io.BytesIO(_packed(content))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("labels.txt", "one\ntwo\nthree\nfour\nfive\n")
    foreign.write_bytes(buffer.getvalue())
    found = tflite.metadata(foreign)
    assert (found.names, found.classes) == (("one", "two", "three", "four", "five"), None)
    assert (found.mean, found.std, found.color_space) == ((127.5,), (64.0,), "GRAYSCALE")
    changed = tflite.Runner(foreign)(64.0 * images.astype(np.float32) + 127.5)
    np.testing.assert_allclose(changed, before, atol=1e-4)


def _packed(model):
    import flatbuffers

    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_as_many_names_as_classes(model, path, tmp_path):
    two = LabelSpec("two", ("a", "b"), SPEC.palette[:2])
    with pytest.raises(ValueError, match="names 2 classes.*tells 5 apart"):
        tflite.annotate(path, two)
    with pytest.raises(ValueError, match="names 2 classes"):
        tflite.convert(model, tmp_path / "x.tflite", SIZE, classes=two)
    assert not list(tmp_path.iterdir())


# The card and the client


def test_the_card_tells_what_is_in_the_file(model, path):
    found = tflite.compare(model, path, pictures(1, seed=2)[0])
    card = tflite.write_card(path, found, {"mIoU on pictures": 0.12345})
    text = card.read_text()
    assert card == path.with_suffix(".md")
    for expected in (
        "| in | `image` | float32 [1, 48, 64, 3] |",
        "RGB in 0..255",
        "| 3 | Fußweg | #78fc03 |",
        "- network: small",
        "- arguments: width=0.5",
        str(found),
        "- mIoU on pictures: 0.1235",
        str(tflite.inspect(path)),
    ):
        assert expected in text
    bare = tflite.write_card(tflite.convert(model, path.with_name("bare.tflite"), SIZE)).read_text()
    assert "## Classes" not in bare and "## Quality" not in bare


def small_network(channels):
    keras.utils.set_random_seed(0)
    image = keras.Input((*SIZE, channels))
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    return keras.Model(image, keras.layers.Conv2D(CLASSES, 3, padding="same")(x))


@pytest.mark.parametrize(
    "channels, options",
    [(3, {}), (1, {"output": "labels", "input_dtype": "uint8"})],
    ids=["logits", "labels"],
)
def test_the_client_labels_an_image_with_nothing_but_the_file(channels, options, tmp_path):
    model = small_network(channels)
    path = tflite.convert(model, tmp_path / "net.tflite", SIZE, classes=SPEC, **options)
    image = pictures(1, seed=5)[0][0]
    if channels == 1:
        image = image[..., 0]
    Image.fromarray(image).save(tmp_path / "photo.png")
    client = ROOT / "docs" / "client.py"
    arguments = [str(path), str(tmp_path / "photo.png"), str(tmp_path / "l.png")]
    done = run_python(
        "-c",
        f"import runpy, sys; sys.argv[1:] = {arguments!r}\n"
        f"runpy.run_path({str(client)!r}, run_name='__main__')\n"
        "slow = {'tensorflow', 'keras', 'segcourse'} & set(sys.modules); assert not slow, slow",
    )
    assert done.returncode == 0, done.stderr
    expected = model.predict(image.reshape(1, *SIZE, channels).astype(np.float32), verbose=0)[0].argmax(-1)
    written = Image.open(tmp_path / "l.png")
    assert np.mean(np.array(written) == expected) > 0.999
    np.testing.assert_array_equal(np.array(written.convert("RGB")), SPEC.colorize(np.array(written)))
    shares = [line.split("%  ") for line in done.stdout.strip().splitlines()]
    assert [name for _, name in shares] == [NAMES[i] for i in np.unique(expected)]
    assert sum(float(share) for share, _ in shares) == pytest.approx(100, abs=0.1)


def test_the_client_says_what_is_missing(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"nothing")
    done = run_python(ROOT / "docs" / "client.py", tmp_path / "a.tflite", "photo.png", "l.png")
    assert done.returncode == 1 and "names no classes" in done.stderr


def test_a_card_replaces_no_file_of_somebody_else(model, tmp_path):
    path = tflite.convert(model, tmp_path / "notes.tflite", SIZE)
    tflite.write_card(path)
    tflite.write_card(path)  # its own
    path.with_suffix(".md").write_text("# My notes")
    with pytest.raises(ValueError, match="no model card"):
        tflite.write_card(path)
    assert path.with_suffix(".md").read_text() == "# My notes"
