"""An exported recogniser behind HTTP. Needs `pip install 'horovod-ocr[serve]'`; no torch, no horovod."""
