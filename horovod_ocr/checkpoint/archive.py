"""Is a checkpoint file safe to load? It may hold stored tensors and plain values only, not larger than the file.

torch.load(weights_only=True) runs no code, but it unpacks a record of a megabyte to a gigabyte, allocates buffers
of any size that a file asks for, and hashes nested tuples for ever.
"""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

# what torch.save writes for tensors, dictionaries, lists, tuples, numbers and texts
OPCODES = (
    "PROTO STOP MARK GLOBAL REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT "
    "BINUNICODE SHORT_BINUNICODE EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM "
    "SETITEMS BINPUT LONG_BINPUT BINGET LONG_BINGET"
).split()
NAMES = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),  # in state dicts of other programs
}


def check_archive(path: Path) -> None:
    """Raise ValueError with what is wrong, unless the file is an archive of torch.save that is safe to load."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("compressed records")
            if sum(entry.file_size for entry in entries) > size:
                raise ValueError("records larger than the file")
            pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
            if len(pickles) != 1:
                raise ValueError("not one data.pkl")
            with archive.open(pickles[0]) as file:
                DryRun(file).load()
    except (OSError, ValueError):
        raise
    except zipfile.BadZipFile as error:
        raise ValueError("not what torch.save writes since torch 1.6: no zip archive, or not a whole one") from error
    except Exception as error:  # a crafted archive or pickle makes either reader fail in a dozen ways
        raise ValueError(f"{type(error).__name__}: {error}") from error


class Nothing:
    """Stands for everything that a pickle builds."""

    def __init__(self, *parts: object):
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class DryRun(pickle._Unpickler):  # written in Python; the one in C allocates as many values as a file claims
    """Goes through a pickle without building, importing or calling anything that it names."""

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in OPCODES
    }

    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in NAMES and not (module == "torch" and name.endswith("Storage")):
            raise ValueError(f"it names {module}.{name}, which no checkpoint needs")
        return Nothing

    def persistent_load(self, pid: object) -> Nothing:
        return Nothing()

    def load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.set_item(key, value)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_item(key, value)

    def set_item(self, key: object, value: object) -> None:
        if not isinstance(key, str | int | float | None):  # no tuple: a few nested ones take for ever to hash
            raise ValueError(f"a {type(key).__name__} for a key")
        self.stack[-1][key] = value

    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.SETITEM[0]] = load_setitem
