"""onnxruntime-web, which runs models in a browser: fetched once, and checked."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import zlib
from pathlib import Path

from ..data.download import fetch
from ..utils.assets import ASSETS, read_asset
from ..utils.cache import cache_entry
from ..utils.files import read_bytes, temporary_folder, whole_file

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web-{VERSION}.tgz"
URLS = (f"https://registry.npmjs.org/onnxruntime-web/-/{PACKAGE}",)

CODE = "package/dist/ort.wasm.bundle.min.mjs"
BINARY = "package/dist/ort-wasm-simd-threaded.wasm"
SHA256 = {
    CODE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    BINARY: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The files of the package that a page needs, for WebAssembly without WebGPU, and what they must be."""

RUNTIME_CODE = "ort.wasm.bundle.min.mjs"
RUNTIME_BINARY = "ort.wasm"
"""Names of these files in a page."""

LICENCE = ASSETS / "page" / "licence-onnxruntime-web.txt"


def runtime_files(package: Path | None = None) -> dict[str, bytes]:
    """The runtime's files by their names in a page, with its licence.

    Args:
        package: the package as npm packs it (.tgz); None to use the cached one, or fetch it by npm if that is
            installed, or from npm's registry.

    Returns:
        the code, the WebAssembly, and the licence.

    Raises:
        FileNotFoundError: if it cannot be had.
        ValueError: naming the file, if it is not the one that this version of Mezzotint is tested with.
    """
    path = package or _cached()
    contents = _unpacked(path)
    hashes = "\n".join(f"{value}  {Path(name).name}" for name, value in SHA256.items())
    licence = read_asset(LICENCE).decode().format(version=VERSION, hashes=hashes)
    return {
        RUNTIME_CODE: contents[CODE],
        RUNTIME_BINARY: contents[BINARY],
        "licence-onnxruntime-web.txt": licence.encode(),
    }


def _cached() -> Path:
    """The package in the cache, fetched first if it is not there."""
    path = cache_entry("runtime", PACKAGE)
    if not _is_right(path) and (npm := shutil.which("npm")):
        _pack(npm, path)
    try:
        return fetch(path, URLS, _check)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{PACKAGE} could not be fetched. Where there is a network, `npm pack onnxruntime-web@{VERSION}`"
            f" makes it; give the file by --runtime. Tried: {str(error).partition('Tried: ')[2]}"
        ) from None


def _pack(npm: str, path: Path) -> None:
    """Let npm fetch the package, which knows the user's registry and proxy. If it fails, nothing happens."""
    with temporary_folder(path) as folder:
        command = [npm, "pack", "--silent", "--fetch-retries=0", f"onnxruntime-web@{VERSION}"]
        result = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        packed = folder / PACKAGE
        if result.returncode == 0 and packed.is_file():
            with whole_file(path) as temporary:
                temporary.write_bytes(packed.read_bytes())


def _check(path: Path) -> None:
    _unpacked(path)


def _is_right(path: Path) -> bool:
    try:
        _check(path)
    except (ValueError, OSError):
        return False
    return True


def _unpacked(path: Path) -> dict[str, bytes]:
    """The files of SHA256 in a package.

    Raises:
        ValueError: if one is missing or another one.
    """
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(read_bytes(path)), mode="r:gz") as archive:
            for name, right in SHA256.items():
                member = archive.extractfile(name)
                content = member.read() if member is not None else b""
                if hashlib.sha256(content).hexdigest() != right:
                    raise ValueError(f"{path}: {name} is not that of onnxruntime-web {VERSION}")
                contents[name] = content
    except (tarfile.TarError, zlib.error, KeyError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} is not the package onnxruntime-web {VERSION}: {error}") from None
    return contents
