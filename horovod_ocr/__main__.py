"""`python -m horovod_ocr` is `horovod-ocr`."""

from horovod_ocr.cli import main

main()
