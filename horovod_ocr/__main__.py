"""`python -m horovod_ocr` is `horovod-ocr`."""

from horovod_ocr.cli.main import main

main()
