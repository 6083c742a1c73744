"""Authentication when a driver joins a cluster: ask the cluster for its mode, and check the user's token.

`connection.join` calls it before it connects to the cluster.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from search.cluster.ray_internals import head_refuses
from trainable.errors import ConfigError

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
TOKEN_FILE = "~/.ray/auth_token"


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process and of the processes that it starts; restore them afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def mode_of(address: str, host_and_port: str) -> str:
    """Return the authentication mode of a cluster; if the driver's mode differed, Ray would lose every trial.

    Args:
        address: as the user named it.
        host_and_port: the address of its head.

    Returns:
        A value for `RAY_AUTH_MODE`.

    Raises:
        ConfigError: if `RAY_AUTH_MODE` is set and differs from the cluster's mode, or the token is missing or wrong.
    """
    named = os.environ.get(MODE, "").lower()
    asks = head_refuses(host_and_port)
    if asks is None:  # such as a cluster with TLS, which only Ray can ask
        asks = named == "token" if named else own_token() is not None
    elif named and (named == "token") != asks:
        runs = "with" if asks else "without"
        way_out = "export RAY_AUTH_MODE=token" if asks else "unset RAY_AUTH_MODE, or start the cluster with it"
        raise ConfigError(
            f"--address {address}: RAY_AUTH_MODE={named} is set, but that cluster runs {runs} tokens; {way_out}"
        )
    if asks:
        _check_token(address, host_and_port)
    return "token" if asks else "disabled"


def _check_token(address: str, host_and_port: str) -> None:
    found = own_token()
    if found is None:
        raise ConfigError(
            f"--address {address}: that cluster needs a token, and no token is set; copy the head's {TOKEN_FILE} to "
            f"this machine (mode 600), or name it with {TOKEN_PATH}"
        )
    token, where = found
    if head_refuses(host_and_port, token):
        raise ConfigError(
            f"--address {address}: that cluster refuses the token from {where}; use the token of the cluster's head, "
            f"by default its {TOKEN_FILE}"
        )


def own_token() -> tuple[str, str] | None:
    """Return the token that Ray would send, and the variable or file that holds it.

    Raises:
        ConfigError: if the file cannot be read, or if other users can read it.
    """
    if token := os.environ.get(TOKEN):
        return token.strip(), TOKEN
    file = Path(os.environ.get(TOKEN_PATH) or TOKEN_FILE).expanduser()
    try:
        status, token = file.stat(), file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: Ray's token cannot be read ({error})") from None
    if status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(
            f"{file}: other users of this machine can read Ray's token, and with it run commands as you on the "
            f"cluster; `chmod 600 {file}`, and make a new token if somebody may have read it"
        )
    return (token, str(file)) if token else None
