"""Where the daemon's socket is."""

import os
from typing import Mapping, Optional, Union

from ._errors import CannotConnect

SocketPath = Union[str, "os.PathLike[str]"]

_FILE_NAME = "hostcall.sock"


def socket_location(
    path: Optional[SocketPath] = None, *, environment: Optional[Mapping[str, str]] = None, user_id: Optional[int] = None
) -> str:
    """The path of the socket: `path`; else `HOSTCALL_SOCKET`; else `hostcall.sock` in the first folder of
    `RUNTIME_DIRECTORY`; else in `XDG_RUNTIME_DIR`; else, for root, in `/run/hostcall`.

    A variable that is set to nothing counts as not set. Raises CannotConnect where no rule applies.
    """
    if path is not None:
        return os.fspath(path)
    environment = os.environ if environment is None else environment
    user_id = os.geteuid() if user_id is None else user_id
    named = environment.get("HOSTCALL_SOCKET")
    if named:
        return named
    folders = [folder for folder in environment.get("RUNTIME_DIRECTORY", "").split(":") if folder]
    if folders:
        return os.path.join(folders[0], _FILE_NAME)
    folder = environment.get("XDG_RUNTIME_DIR")
    if folder:
        return os.path.join(folder, _FILE_NAME)
    if user_id == 0:
        return os.path.join("/run/hostcall", _FILE_NAME)
    raise CannotConnect(
        "cannot tell where the socket of hostcalld is: neither HOSTCALL_SOCKET, RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR "
        "is set (set HOSTCALL_SOCKET to its path)"
    )
