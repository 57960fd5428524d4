"""inventory is a discovery handler from discovery.proto alone, without our SDK.

It does what the Go program beside it does: the devices of a Configuration with
the details "list: workshop" are the lines of the file workshop.txt.
"""
import os
import re
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import yaml

import discovery_pb2 as pb
import discovery_pb2_grpc as rpc

FOLDER = os.environ.get("DISCOVERY_HANDLERS_DIRECTORY", "/var/lib/akri")
AGENT = os.path.join(FOLDER, "agent-registration.sock")
SOCKET = os.path.join(FOLDER, "inventory.sock")
LISTS = sys.argv[1] if len(sys.argv) > 1 else "/etc/inventory"

dropped = threading.Event()  # a call was dropped: the agent may be a new one


def parse(details):
    """Returns the file that has the list."""
    try:
        name = yaml.safe_load(details)["list"]
    except (yaml.YAMLError, TypeError, KeyError):
        name = None
    if not re.fullmatch("[a-z0-9-]+", str(name or "")):
        raise ValueError("discoveryDetails: want the name of a list, such as list: workshop")
    return os.path.join(LISTS, name + ".txt")


def read(path):
    """Returns the devices of a list. One that is not there is empty."""
    devices = []
    try:
        with open(path, encoding="utf-8") as file:
            for line in filter(str.strip, file):
                name, *rest = line.split()
                properties = dict(pair.split("=", 1) for pair in rest)
                devices.append(pb.Device(id=name, properties={"INVENTORY_ID": name, **properties}))
    except FileNotFoundError:
        pass
    return devices


class Inventory(rpc.DiscoveryHandlerServicer):
    def Discover(self, request, context):
        try:
            path = parse(request.discovery_details)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        gone = threading.Event()
        context.add_callback(lambda: (gone.set(), dropped.set()))
        sent = None
        while not gone.is_set():
            devices = read(path)
            if devices != sent:  # the first list goes out even if it is empty
                yield pb.DiscoverResponse(devices=devices)
                sent = devices
            gone.wait(1)


def keep_registered(ending):
    """Registers when the agent's socket is made, and when a call was dropped."""
    known = None
    while not ending.wait(0.2):
        try:
            file = os.stat(AGENT)
            if (file.st_ino, file.st_ctime_ns) == known and not dropped.is_set():
                continue
            dropped.clear()
            with grpc.insecure_channel("unix:" + AGENT) as channel:
                rpc.RegistrationStub(channel).RegisterDiscoveryHandler(
                    pb.RegisterDiscoveryHandlerRequest(name="inventory", endpoint=SOCKET, shared=False), timeout=10)
            known = file.st_ino, file.st_ctime_ns
        except (OSError, grpc.RpcError):
            known = None  # try again


ending = threading.Event()
for number in signal.SIGTERM, signal.SIGINT:
    signal.signal(number, lambda *_: ending.set())
if os.path.lexists(SOCKET):
    os.remove(SOCKET)  # of one that was killed
os.umask(0o117)  # the socket is for this user and this group
server = grpc.server(ThreadPoolExecutor(max_workers=100))  # each open call needs a thread
rpc.add_DiscoveryHandlerServicer_to_server(Inventory(), server)
server.add_insecure_port("unix:" + SOCKET)
server.start()
keep_registered(ending)
server.stop(grace=1).wait()
