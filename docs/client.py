"""Label an image with a `.tflite` file: all that an application needs, in one page.

    pip install numpy pillow ai-edge-litert
    python client.py fcn8s.tflite photo.jpg labels.png

Writes a palette PNG whose pixel values are class ids, and prints which classes are in the image. Class names
and colours are in the file: a zip archive behind the model, as `segcourse export` writes it. An application
in another language does the same five steps with its own LiteRT.
"""

import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image


def facts_of(path):
    """What `segcourse export` wrote into the file: names and colours of the classes, input range, origin."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("segcourse.json"))
    except (zipfile.BadZipFile, KeyError):
        raise SystemExit(f"{path} names no classes. Write it with: segcourse export ...") from None


def label(path, image):
    """The class of every pixel, uint8 [H, W], of a PIL image of any size."""
    interpreter = Interpreter(path)
    interpreter.allocate_tensors()
    (taken,), (given, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    _, height, width, channels = taken["shape"]
    small = image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(small).reshape(taken["shape"])  # 0..255: the network does its own normalisation
    interpreter.set_tensor(taken["index"], pixels.astype(taken["dtype"]))
    interpreter.invoke()
    answer = interpreter.get_tensor(given["index"])[0]
    ids = answer if answer.ndim == 2 else answer.argmax(axis=-1)  # labels already, or logits
    if ids.shape != (height, width):
        raise SystemExit(f"{path} answers for the middle of an image alone: use segcourse predict.")
    # Ids are no quantities: between classes 3 and 5 there is no class 4, so nearest neighbour.
    return np.asarray(Image.fromarray(ids.astype(np.uint8)).resize(image.size, Image.Resampling.NEAREST))


def main(path, source, target):
    facts = facts_of(path)
    ids = label(path, Image.open(source))
    picture = Image.fromarray(ids)
    picture.putpalette(bytes.fromhex("".join(color.removeprefix("#") for color in facts["colors"])))
    picture.save(target)
    for number, count in zip(*np.unique(ids, return_counts=True), strict=True):
        print(f"{count / ids.size:7.2%}  {facts['names'][number]}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit("usage: python client.py MODEL.tflite IMAGE LABELS.png")
    main(*sys.argv[1:])
