"""How the console writes sizes and times."""

from horovod_ocr.console import size_text


def test_sizes_are_in_gigabytes_from_one_on():
    assert (size_text(45_630_000), size_text(999_940_000), size_text(1e9)) == ("45.6 MB", "999.9 MB", "1.00 GB")
