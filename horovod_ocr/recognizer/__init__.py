"""Reads images with an exported model, on numpy and onnxruntime alone.

from horovod_ocr.recognizer import Recognizer

recognizer = Recognizer.load("runs/urdu/export")
for reading in recognizer.read(["word.png", another_word]):
    print(reading.text, reading.confidence, reading.letters)
"""

from horovod_ocr.errors import SourceError
from horovod_ocr.recognizer.recognizer import Recognizer
from horovod_ocr.text.decode import Letter, Reading

__all__ = ["Letter", "Reading", "Recognizer", "SourceError"]
