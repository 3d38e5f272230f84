"""Pickles that would run code, in every form that we know of, and the places where they are offered.

Each payload, unpickled the ordinary way, makes the file ``marker``.
"""

import builtins
import codecs
import io
import marshal
import os
import pickle
import runpy
import struct
import subprocess
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mezzotint.data import Frame, open_data
from mezzotint.evaluation.features import load_classifier
from mezzotint.export.original import import_original
from mezzotint.loading import load

Payload = Callable[[Path], bytes]


class Call:
    """Pickled, it is a call, of a function or of what another call gives.

    Args:
        function: to call.
        arguments: of the call.
        items: appended to what the call gives.
    """

    def __init__(self, function: Any, *arguments: Any, items: tuple[Any, ...] = ()) -> None:
        self.reduced = (function, arguments, None, iter(items)) if items else (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced

    def __call__(self) -> None:
        """Never; but the pickler insists on functions that can be called."""


def _python(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def _shell(marker: Path) -> str:
    return f"touch '{marker}'"


def _dumped(content: Any, protocol: int = 2) -> bytes:
    return pickle.dumps(content, protocol)


def _written(marker: Path, opcodes: str) -> bytes:
    """A pickle in opcodes, where COMMAND stands for what makes the marker."""
    return opcodes.replace("COMMAND", _shell(marker)).encode()


def _set_state(marker: Path) -> bytes:
    """An object whose own ``__setstate__`` is os.system by the time its state is set."""
    command = _shell(marker).encode()
    length = struct.pack("<I", len(command))
    begin = b"\x80\x02ctypes\nSimpleNamespace\n)R}U\x0c__setstate__cos\nsystem\nsb"
    return begin + b"T" + length + command + b"b."


def _bound_method(marker: Path) -> bytes:
    """posix.system by way of getattr, import and a dictionary, none of which is a call by itself."""
    module = Call(builtins.__import__, "posix")
    return _dumped(Call(Call(builtins.getattr, module, "system"), _shell(marker)))


def _code_object(marker: Path) -> bytes:
    code = marshal.dumps(compile(_python(marker), "x", "exec"))
    return _dumped(Call(exec, Call(marshal.loads, code)), 4)


def _zip_of(pickled: bytes, **more: bytes) -> bytes:
    """A file of torch.save of today, with another pickle in it."""
    buffer = io.BytesIO()
    torch.save({"model": {"w": torch.zeros(2)}}, buffer)
    changed = io.BytesIO()
    with zipfile.ZipFile(buffer) as before, zipfile.ZipFile(changed, "w") as after:
        for name in before.namelist():
            after.writestr(name, pickled if name.endswith("data.pkl") else before.read(name))
        for name, content in more.items():
            after.writestr(f"archive/{name}", content)
    return changed.getvalue()


def _legacy_of(pickled: bytes) -> bytes:
    """A file of torch.save before 1.6: a magic number, a version, the system, and then the content."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(map(_dumped, head)) + pickled + _dumped([])


def _tar_of(pickled: bytes) -> bytes:
    """A file of the first torch.save, which was a .tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        content = {"sys_info": _dumped({}), "pickle": pickled, "storages": pickled}
        for name, data in {**content, "tensors": _dumped(0)}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


class _StorageTrick(pickle.Pickler):
    """A pickler whose persistent identifier of a storage is the result of a call."""

    def __init__(self, file: io.BytesIO, marker: Path) -> None:
        super().__init__(file, 2)
        self.marker = marker

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, torch.UntypedStorage):
            return None
        return ("storage", Call(os.system, _shell(self.marker)), "0", "cpu", 2)


def _persistent(marker: Path) -> bytes:
    buffer = io.BytesIO()
    _StorageTrick(buffer, marker).dump({"model": {"w": torch.zeros(2).untyped_storage()}})
    return _zip_of(buffer.getvalue())


def _system(marker: Path) -> Call:
    return Call(os.system, _shell(marker))


def _rebuilt(marker: Path) -> bytes:
    """A tensor whose storage is the result of a call, among calls that torch allows."""
    rebuild = torch._utils._rebuild_tensor_v2  # type: ignore[attr-defined]
    tensor = Call(rebuild, _system(marker), 0, (2,), (1,), False, OrderedDict())
    return _zip_of(_dumped({"model": {"w": tensor}}))


def _typed(marker: Path) -> bytes:
    """A tensor of a class of one's own, whose maker is any function."""
    rebuild = torch._tensor._rebuild_from_type_v2  # type: ignore[attr-defined]
    tensor = Call(rebuild, os.system, torch.Tensor, (_shell(marker),), {})
    return _zip_of(_dumped({"model": {"w": tensor}}))


PAYLOADS: dict[str, Payload] = {
    "os.system": lambda m: _dumped(_system(m), 4),
    "exec": lambda m: _dumped(Call(exec, _python(m))),
    "eval": lambda m: _dumped(Call(eval, _python(m)), 0),
    "subprocess": lambda m: _dumped(Call(subprocess.check_call, ["touch", str(m)]), 5),
    "runpy": lambda m: _dumped(Call(runpy._run_code, _python(m), {})),  # type: ignore[attr-defined]
    "partial": lambda m: _dumped(Call(partial(exec, _python(m)), {}), 4),
    "codecs": lambda m: _dumped(
        Call(exec, Call(codecs.decode, codecs.encode(_python(m), "rot13"), "rot13"))
    ),
    "opcodes, protocol 0": lambda m: _written(m, 'cposix\nsystem\n(S"COMMAND"\ntR.'),
    "opcode INST": lambda m: _written(m, '(S"COMMAND"\niposix\nsystem\n.'),
    "opcode OBJ": lambda m: _written(m, '(cposix\nsystem\nS"COMMAND"\no.'),
    "getattr": _bound_method,
    "set state": _set_state,
    "code object": _code_object,
    "deep within tensors": lambda m: _dumped(
        {"model": OrderedDict(w=[{"a": (torch.Size([2]), {"b": [_system(m)]})}])}
    ),
    "array of objects": lambda m: _dumped(np.array([_system(m), None], object)),
    "list items": lambda m: _dumped(Call(list, items=(_system(m),))),
    "torch": lambda m: _zip_of(_dumped({"model": _system(m)})),
    "torch, beside": lambda m: _zip_of(_dumped(_system(m)), **{"code/x.py": _python(m).encode()}),
    "torch, legacy": lambda m: _legacy_of(_dumped({"model": _system(m)})),
    "torch, tar": lambda m: _tar_of(_dumped({"model": _system(m)})),
    "torch, storage": _persistent,
    "torch, rebuilt": _rebuilt,
    "torch, typed": _typed,
}
"""What makes the content of a file that would make ``marker``, by name."""


# --- Where they are offered.


def _import(content: bytes, folder: Path) -> None:
    (folder / "saved_model.pth").write_bytes(content)
    import_original(folder / "saved_model.pth", folder / "out.safetensors")


def _load(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    load(folder)


def _judge(content: bytes, folder: Path) -> None:
    (folder / "judge.pth").write_bytes(content)
    load_classifier(folder / "judge.pth")


def _objects(content: bytes) -> bytes:
    """An .npy that says that its content is a pickle, which then may be anything."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|O", "fortran_order": False, "shape": (4,)}
    )
    return buffer.getvalue() + content


def _npz(content: bytes, folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr("images.npy", _objects(content))
    open_data(f"npz:{folder / 'x.npz'}")


def _npy(content: bytes, folder: Path) -> None:
    (folder / "x.npy").write_bytes(_objects(content))
    open_data(f"npz:{folder / 'x.npy'}")


def _raw_npz(content: bytes, folder: Path) -> None:
    (folder / "x.npz").write_bytes(content)
    open_data(f"npz:{folder / 'x.npz'}")


def _picture(content: bytes, folder: Path) -> None:
    (folder / "root" / "a").mkdir(parents=True)
    (folder / "root" / "a" / "x.png").write_bytes(content)
    open_data(f"folder:{folder / 'root'}", frame=Frame(size=(8, 8)))


def _cifar(content: bytes, folder: Path, ending: str) -> None:
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"):
        (folder / f"{name}{ending}").write_bytes(content)
    open_data("cifar10", folder=folder)


def _records(content: bytes) -> bytes:
    """The content, made as long as a file of records is."""
    return content + bytes(-len(content) % 3073)


WAYS: dict[str, tuple[str, Callable[[bytes, Path], None]]] = {
    "saved_model.pth, imported": ("saved_model.pth", _import),
    "a run's model.safetensors": ("model.safetensors", _load),
    "a classifier": ("judge.pth", _judge),
    "an array of objects in an .npz": ("x.npz", _npz),
    "an array of objects, .npy": ("x.npy", _npy),
    "an .npz": ("x.npz", _raw_npz),
    "a picture of a folder": ("x.png", _picture),
    "CIFAR-10, its Python version": ("data_batch_1.bin", partial(_cifar, ending="")),
    "CIFAR-10, its binary version": ("data_batch_1.bin", partial(_cifar, ending=".bin")),
    "CIFAR-10, whole records": (
        "data_batch_1.bin",
        lambda content, folder: _cifar(_records(content), folder, ".bin"),
    ),
}
"""Names of the files that are read, and functions that write content to them and read it."""


def offer(way: str, payload: str, folder: Path) -> str | None:
    """Offer a payload.

    Args:
        way: key of ``WAYS``.
        payload: key of ``PAYLOADS``.
        folder: to write to.

    Returns:
        What went wrong; None if an error of ours named the file, and nothing ran.
    """
    marker = folder / "it-ran"
    name, read = WAYS[way]
    try:
        read(PAYLOADS[payload](marker), folder)
        fault = "it was read"
    except (ValueError, OSError) as error:
        fault = None if name in str(error) else f"the error does not name {name}: {error}"
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    return "it ran" if marker.exists() else fault
