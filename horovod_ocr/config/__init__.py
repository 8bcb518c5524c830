"""What a run is made of: defaults < recipe < horovod-ocr.toml in the working folder < command line."""
