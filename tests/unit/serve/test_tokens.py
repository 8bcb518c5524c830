import os

import pytest

from horovod_ocr.errors import ConfigError
from horovod_ocr.serve.tokens import is_authorised, is_readable_by_others, read_tokens

ONE, OTHER = "0123456789abcdef", "fedcba9876543210"


def test_one_a_line_without_comments(tmp_path):
    (tmp_path / "tokens").write_text(f"# of the web shop\n{ONE}\n\n  {OTHER}  \n")
    assert read_tokens(tmp_path / "tokens") == (ONE.encode(), OTHER.encode())


@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"short\n", "0123456789abcdefö\n".encode(), b"a b" * 9, b"\xff"]
)
def test_what_is_no_token_is_refused(tmp_path, content):
    (tmp_path / "tokens").write_bytes(content)
    with pytest.raises(ConfigError, match="--token-file"):
        read_tokens(tmp_path / "tokens")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tokens(tmp_path / "none")


def test_knows_who_can_read_the_file(tmp_path):
    (tmp_path / "tokens").write_text(ONE)
    for mode, is_open in ((0o600, False), (0o640, True), (0o604, True)):
        os.chmod(tmp_path / "tokens", mode)
        assert is_readable_by_others(tmp_path / "tokens") is is_open


@pytest.mark.parametrize("place", [0, 1])
def test_each_token_is_enough(place):
    tokens = ONE.encode(), OTHER.encode()
    assert is_authorised([(b"host", b"x"), (b"authorization", b"Bearer " + tokens[place])], tokens)
    assert not is_authorised([(b"authorization", b"Bearer " + tokens[place][:-1])], tokens)
    assert not is_authorised([(b"authorization", b"Bearer \xff\xfe")], tokens)
    assert not is_authorised([], tokens)
