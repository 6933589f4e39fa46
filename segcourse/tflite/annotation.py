"""What a client must know of a `.tflite` file, inside the file: classes, colours, input range, origin.

The form is TFLite Metadata: a flatbuffer of its own among the file's metadata, and a zip archive behind the
model, which LiteRT does not look at. MediaPipe's ImageSegmenter reads the normalisation, the class names in
`labels.txt` and that the scores are logits; `segcourse.json` in the archive has colours and origin as well.
Schema: mediapipe/tasks/metadata/metadata_schema.fbs, version 1.5.0.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

from segcourse.datasets.labels import LabelSpec
from segcourse.jsonable import jsonable
from segcourse.tflite.files import IDENTIFIER, readable, write_atomically

NAME = b"TFLITE_METADATA"  # under which a file lists it
LABELS_FILE, DETAILS_FILE = "labels.txt", "segcourse.json"
COLOR_SPACES = {3: "RGB", 1: "GRAYSCALE"}  # by channels
_COLOR_SPACE_IDS = {"RGB": 1, "GRAYSCALE": 2}
_IMAGE_PROPERTIES, _NORMALIZATION = 2, 1  # in the unions ContentProperties and ProcessUnitOptions
_AXIS_LABELS, _VALUE_LABELS, _DESCRIPTIONS = 2, 3, 1  # AssociatedFileType
_SOFTMAX = 2  # Activation of MediaPipe's ImageSegmenterOptions: the scores are logits
_SEGMENTER = "SEGMENTER_METADATA"

# The part of the schema that is used: table -> field -> (its place, its type); a list is a vector.
_SCHEMA = {
    "ModelMetadata": {
        "name": (0, "string"),
        "description": (1, "string"),
        "subgraph_metadata": (3, ["SubGraphMetadata"]),
        "associated_files": (6, ["AssociatedFile"]),
        "min_parser_version": (7, "string"),
    },
    "SubGraphMetadata": {
        "input_tensor_metadata": (2, ["TensorMetadata"]),
        "output_tensor_metadata": (3, ["TensorMetadata"]),
        "custom_metadata": (9, ["CustomMetadata"]),
    },
    "TensorMetadata": {
        "name": (0, "string"),
        "description": (1, "string"),
        "content": (3, "Content"),
        "process_units": (4, ["ProcessUnit"]),
        "stats": (5, "Stats"),
        "associated_files": (6, ["AssociatedFile"]),
    },
    "Content": {"content_properties_type": (0, "byte"), "content_properties": (1, "ImageProperties")},
    "ImageProperties": {"color_space": (0, "byte")},
    "ProcessUnit": {"options_type": (0, "byte"), "options": (1, "NormalizationOptions")},
    "NormalizationOptions": {"mean": (0, ["float"]), "std": (1, ["float"])},
    "Stats": {"max": (0, ["float"]), "min": (1, ["float"])},
    "AssociatedFile": {"name": (0, "string"), "description": (1, "string"), "type": (2, "byte")},
    "CustomMetadata": {"name": (0, "string"), "data": (1, "bytes")},
    "ImageSegmenterOptions": {"activation": (0, "byte"), "min_parser_version": (1, "string")},
}
# What the tables of a union are read as, told by the field before; others of the union are passed over.
_UNIONS = {
    ("Content", "content_properties"): _IMAGE_PROPERTIES,
    ("ProcessUnit", "options"): _NORMALIZATION,
}


@dataclass(frozen=True)
class Metadata:
    """What a file says of itself.

    Attributes:
        names: class names in the order of their ids; empty if the file has none.
        colors: (red, green, blue) in 0..255 of each class; empty if the file has none, as those of others.
        mean, std: a client feeds (pixel - mean) / std of pixels 0..255: one value, or one per channel.
        input_range: smallest and largest value that the network expects; None if it does not say.
        color_space: "RGB", "GRAYSCALE", or None.
        provenance: what is known of the origin: segcourse's version, network, arguments, data.
        attached: names of the files in the archive behind the model.
    """

    names: tuple[str, ...] = ()
    colors: tuple[tuple[int, int, int], ...] = ()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    input_range: tuple[float, float] | None = None
    color_space: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    attached: tuple[str, ...] = ()

    @property
    def classes(self) -> LabelSpec | None:
        """Names and colours together; None where one of them is missing."""
        if not self.names or not self.colors:
            return None
        return LabelSpec(self.provenance.get("classes", "classes"), self.names, self.colors)


def metadata(path: str | os.PathLike) -> Metadata | None:
    """The `Metadata` of a TFLite file, ours or another's; None if it has none.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: there is no whole TFLite file at `path`.
    """
    content = readable(path).read_bytes()
    stored = _stored(content)
    if stored is None:
        return None
    model = _unpacked(stored, "ModelMetadata")
    attached = _attached(content)
    graph = next(iter(model.get("subgraph_metadata", ())), {})
    details = json.loads(attached.get(DETAILS_FILE, "{}"))
    return Metadata(
        names=_names(attached, graph),
        colors=tuple(tuple(bytes.fromhex(color[1:])) for color in details.get("colors", ())),
        provenance=details.get("provenance", {}),
        attached=tuple(attached),
        **_input_facts(graph),
    )


def annotate(
    path: str | os.PathLike,
    classes: LabelSpec | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write classes and origin into a TFLite file for images in 0..255; the model in it stays as it is.

    Args:
        path: a `.tflite` file with one image input; what `annotate` wrote into it before is replaced.
        classes: in the order of the ids, e.g. `datasets.spec("toycam")`.
        provenance: further facts as JSON takes them, e.g. {"network": "fcn8s", "data": "toycam"}.

    Returns:
        `path` as a `pathlib.Path`.

    Raises:
        ValueError: no whole TFLite file, or `classes` are not as many as the file tells apart.
    """
    path = readable(path)
    write_atomically(path, annotated(path.read_bytes(), classes, provenance))
    return path


def annotated(
    content: bytes, classes: LabelSpec | None = None, provenance: Mapping[str, Any] | None = None
) -> bytes:
    """`annotate` for the bytes of a TFLite file."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    main = model.subgraphs[0]
    inputs, outputs = ([main.tensors[i] for i in side] for side in (main.inputs, main.outputs))
    check_classes(classes, {int(t.shape[-1]) for t in outputs if _gives_scores(t)})
    names = {
        m.tensorIndex: m.name.decode() for s in model.signatureDefs or () for m in (*s.inputs, *s.outputs)
    }
    stored = _packed(
        "ModelMetadata",
        _model_metadata(
            [(names.get(i, t.name.decode()), t) for i, t in zip(main.inputs, inputs, strict=True)],
            [(names.get(i, t.name.decode()), t) for i, t in zip(main.outputs, outputs, strict=True)],
            classes,
        ),
        b"M001",
    )
    _store(model, stored)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return _with_archive(bytes(builder.Output()), classes, provenance or {})


def check_classes(classes: LabelSpec | None, counts: set[int]) -> None:
    """Raise a ValueError if there are `counts` of scores per pixel, and none is the number of classes."""
    if classes is not None and counts and len(classes) not in counts:
        raise ValueError(
            f"classes names {len(classes)} classes ({classes.name}), but the file tells "
            f"{', '.join(map(str, sorted(counts)))} apart. Give one name for each, in the order of the ids."
        )


def _gives_scores(tensor):
    return tensor.shape is not None and len(tensor.shape) == 4


# What goes in


def _model_metadata(inputs, outputs, classes):
    """The content of the table ModelMetadata, for (name, tensor) of inputs and outputs."""
    graph = {
        "input_tensor_metadata": [_image(name, tensor) for name, tensor in inputs],
        "output_tensor_metadata": [_answer(name, tensor, classes) for name, tensor in outputs],
    }
    if any(_gives_scores(tensor) for _, tensor in outputs):
        options = {"activation": _SOFTMAX, "min_parser_version": "1.0.0"}
        packed = _packed("ImageSegmenterOptions", options, b"V001")
        graph["custom_metadata"] = [{"name": _SEGMENTER, "data": packed}]
    description = "colours, input and origin as JSON"
    return {
        "name": "semantic segmentation",
        "description": "Gives every pixel of an image a class.",
        "subgraph_metadata": [graph],
        "associated_files": [{"name": DETAILS_FILE, "description": description, "type": _DESCRIPTIONS}],
        "min_parser_version": "1.5.0",
    }


def _image(name, tensor):
    channels = int(tensor.shape[-1])
    normalization = {"mean": [0.0] * channels, "std": [1.0] * channels}
    described = {
        "name": name,
        "description": "image in 0..255; the network does its own rescaling",
        "process_units": [{"options_type": _NORMALIZATION, "options": normalization}],
        "stats": {"max": [255.0], "min": [0.0]},
    }
    if channels in COLOR_SPACES:
        properties = {"color_space": _COLOR_SPACE_IDS[COLOR_SPACES[channels]]}
        described["content"] = {
            "content_properties_type": _IMAGE_PROPERTIES,
            "content_properties": properties,
        }
    return described


def _answer(name, tensor, classes):
    scores = _gives_scores(tensor)
    what = "logits [1, H, W, classes]" if scores else "class ids [1, H, W]"
    described = {"name": name, "description": what}
    if classes is not None and (not scores or int(tensor.shape[-1]) == len(classes)):
        kind = _AXIS_LABELS if scores else _VALUE_LABELS
        described["associated_files"] = [{"name": LABELS_FILE, "description": "class names", "type": kind}]
    return described


def _store(model, content):
    """Put the bytes among the metadata of the model, in place of older ones."""
    from ai_edge_litert import schema_py_generated as schema

    data = np.frombuffer(content, np.uint8)
    model.metadata = list(model.metadata or ())
    for entry in model.metadata:
        if entry.name == NAME:
            model.buffers[entry.buffer] = schema.BufferT(data=data)
            return
    model.buffers.append(schema.BufferT(data=data))
    model.metadata.append(schema.MetadataT(name=NAME, buffer=len(model.buffers) - 1))


def _with_archive(model, classes, provenance):
    from segcourse import __version__

    details = {"format": 1, "input_range": [0, 255], "provenance": {"segcourse": __version__, **provenance}}
    files = {}
    if classes is not None:
        details["names"] = classes.classes
        details["colors"] = ["#" + bytes(color).hex() for color in classes.palette]
        details["provenance"]["classes"] = classes.name
        files[LABELS_FILE] = "\n".join(classes.classes)
    files[DETAILS_FILE] = json.dumps(jsonable(details), indent=1)
    buffer = io.BytesIO(model)
    # Stored, not compressed: MediaPipe maps the files into memory. A fixed date: equal models, equal bytes.
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode())
    return buffer.getvalue()


# What comes out


def _stored(content):
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    for entry in map(model.Metadata, range(model.MetadataLength())):
        if entry.Name() == NAME:
            return bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
    return None


def _attached(content):
    """Name -> text of the files in the archive behind the model."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}
    except zipfile.BadZipFile:
        return {}


def _names(attached, graph):
    """The lines of the first list of labels that belongs to an output."""
    files = (
        file["name"]
        for tensor in graph.get("output_tensor_metadata", ())
        for file in tensor.get("associated_files", ())
        if file.get("type") in (_AXIS_LABELS, _VALUE_LABELS)
    )
    return tuple(attached.get(next(files, None), "").splitlines())


def _input_facts(graph):
    """`Metadata`'s fields that come from the first input."""
    image = next(iter(graph.get("input_tensor_metadata", ())), {})
    facts = {}
    for unit in image.get("process_units", ()):
        if options := unit.get("options"):
            facts = {key: tuple(map(float, options[key])) for key in ("mean", "std")}
    stats = image.get("stats", {})
    if stats.get("min") and stats.get("max"):
        facts["input_range"] = (float(min(stats["min"])), float(max(stats["max"])))
    space = image.get("content", {}).get("content_properties", {}).get("color_space")
    names = {number: name for name, number in _COLOR_SPACE_IDS.items()}
    return {**facts, "color_space": names.get(space)}


# Flatbuffers by the schema


def _packed(table, values, identifier):
    """The bytes of a flatbuffer: `values` is a dict of fields as `_SCHEMA` names them."""
    builder = flatbuffers.Builder()
    builder.Finish(_pack(builder, table, values), identifier)
    return bytes(builder.Output())


def _pack(builder, table, values):
    places = {name: _SCHEMA[table][name] for name in values}
    children = {name: _pack_value(builder, kind, values[name]) for name, (_, kind) in places.items()}
    builder.StartObject(1 + max(place for place, _ in places.values()))
    for name, (place, kind) in places.items():
        if kind == "byte":
            builder.PrependInt8Slot(place, children[name], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(place, children[name], 0)
    return builder.EndObject()


def _pack_value(builder, kind, value):
    if kind == "byte":
        return value
    if kind == "string":
        return builder.CreateString(value)
    if kind == "bytes":
        builder.StartVector(1, len(value), 16)  # aligned as the schema asks for, because it is read in place
        for byte in reversed(value):
            builder.PrependUint8(byte)
        return builder.EndVector()
    if kind == ["float"]:
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    if isinstance(kind, list):
        offsets = [_pack_value(builder, kind[0], item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    return _pack(builder, kind, value)


def _unpacked(content, table):
    """The dict that `_packed` made `content` from, or what of a foreign one `_SCHEMA` knows."""
    start = encode.Get(packer.uoffset, content, 0)
    return _unpack(Table(content, start), table)


def _unpack(source, table):
    values = {}
    for name, (place, kind) in _SCHEMA[table].items():
        offset = source.Offset(4 + 2 * place)
        wanted = _UNIONS.get((table, name))
        if offset and (wanted is None or values.get(f"{name}_type") == wanted):
            values[name] = _unpack_value(source, kind, source.Pos + offset)
    return values


def _unpack_value(source, kind, position):
    if kind == "byte":
        return source.Get(number_types.Int8Flags, position)
    if kind == "string":
        return source.String(position).decode()
    if kind == "bytes":
        return bytes(source.GetVectorAsNumpy(number_types.Uint8Flags, position - source.Pos))
    if kind == ["float"]:
        numbers = source.GetVectorAsNumpy(number_types.Float32Flags, position - source.Pos)
        return numbers.tolist()
    if isinstance(kind, list):
        first, count = source.Vector(position - source.Pos), source.VectorLen(position - source.Pos)
        return [_unpack_value(source, kind[0], first + 4 * i) for i in range(count)]
    return _unpack(Table(source.Bytes, source.Indirect(position)), kind)
