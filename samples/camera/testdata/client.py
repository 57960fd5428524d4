"""Gets one picture from the broker at an address, and prints of what camera it is, and its hash."""
import hashlib
import os
import sys
import tempfile

import grpc
from grpc_tools import protoc

folder = tempfile.mkdtemp()
proto = os.path.join(os.path.dirname(__file__), "..", "camerapb")
if protoc.main(["", "-I" + proto, "--python_out=" + folder, "--grpc_python_out=" + folder, "camera.proto"]):
    sys.exit("camera.proto cannot be compiled")
sys.path.insert(0, folder)
import camera_pb2  # noqa: E402
import camera_pb2_grpc  # noqa: E402

with grpc.insecure_channel(sys.argv[1]) as channel:
    answer = camera_pb2_grpc.CameraStub(channel).GetFrame(camera_pb2.NotifyRequest(), timeout=20)
print(answer.camera, hashlib.sha256(answer.frame).hexdigest())
