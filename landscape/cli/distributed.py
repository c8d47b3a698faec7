"""Several processes by `jax.distributed`: who this one is, and no more unless the model is sharded over them."""

import contextlib
import socket
import time
from typing import Any

import jax

WAIT = 60  # seconds for the other processes to come
SETTLING = 600  # seconds for the slowest to build its problem
HEARTBEAT = 100  # seconds without which a process counts as dead


def join(address: str, shard: tuple[int, int] | None) -> None:
    """Start `jax.distributed`, as this process of those that the address or the cluster knows.

    address: "HOST:PORT" of process 0, and `shard` says who this one is; or "", and JAX finds out by itself.
    Raises: ValueError if it cannot; ConnectionError where other processes do not come, or come twice.
    """
    # Else JAX swallows SIGTERM.
    jax.config.update("jax_enable_preemption_service", False)
    limits: dict[str, Any] = {"heartbeat_timeout_seconds": HEARTBEAT, "shutdown_timeout_seconds": SETTLING}
    if not address:
        if shard is not None:
            raise ValueError("--distributed finds out by itself who this is: leave --shard out, or give HOST:PORT.")
        try:
            jax.distributed.initialize(initialization_timeout=WAIT, **limits)
        except ValueError as error:
            raise ValueError(
                f"--distributed finds no cluster that JAX knows ({error}); give the address of process 0 and --shard "
                "I/N, or --shard alone."
            ) from error
    else:
        if shard is None:
            raise ValueError(f"--distributed {address} needs --shard I/N, which says who this is.")
        index, count = shard
        _meet(address, index, count)
        jax.distributed.initialize(
            address, count, index, cluster_detection_method="deactivate", initialization_timeout=WAIT, **limits
        )
    jax.process_index()  # while the others can be asked


def settle(*read: Any) -> None:
    """Stop asking whether the others live, unless the arrays in `read` are sharded over the processes.

    A process that dies, or is done early, then takes no other with it. Who this is stays known.
    """
    arrays = [leaf for leaf in jax.tree.leaves(read) if isinstance(leaf, jax.Array)]
    if jax.distributed.is_initialized() and all(leaf.is_fully_addressable for leaf in arrays):
        jax.distributed.shutdown()


def _meet(address: str, index: int, count: int) -> None:
    """Wait until all processes are there. JAX itself ends the process where one is missing or comes twice."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError(f"--distributed {address!r} must be HOST:PORT, a free port of the machine of process 0.")
    end = time.monotonic() + WAIT
    if index == 0:
        _gather((host, int(port)), count, end)
    else:
        _report_to((host, int(port)), index, end)


def _gather(address: tuple[str, int], count: int, end: float) -> None:
    missing = set(range(1, count))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(address))
        came: dict[int, Any] = {}
        while missing - set(came):
            server.settimeout(max(end - time.monotonic(), 0.01))
            try:
                peer = stack.enter_context(server.accept()[0])
                peer.settimeout(5)
                index = int(peer.recv(16))
            except TimeoutError:
                if time.monotonic() < end:
                    continue
                listed = ", ".join(map(str, sorted(missing - set(came))))
                raise ConnectionError(f"processes {listed} did not come to {address[0]} within {WAIT} s") from None
            except (ValueError, OSError):  # somebody else's message, or none
                continue
            if index not in missing or index in came:
                raise ConnectionError(f"process {index} came twice, or is none of the {count}: --shard I/N, each once.")
            came[index] = peer
        for peer in came.values():
            peer.sendall(b"go")


def _report_to(address: tuple[str, int], index: int, end: float) -> None:
    while True:
        try:
            with socket.create_connection(address, timeout=1) as server:
                server.sendall(str(index).encode())
                server.settimeout(max(end - time.monotonic(), 0.01))
                if server.recv(2) != b"go":
                    raise ConnectionError("process 0 turned this one away: does another have the same --shard?")
                return
        except (ConnectionRefusedError, TimeoutError, socket.gaierror) as error:
            if time.monotonic() > end:
                where = ":".join(map(str, address))
                raise ConnectionError(f"process 0 is not at {where} within {WAIT} s ({error})") from error
            time.sleep(0.2)
