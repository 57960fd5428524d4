"""Asks a camera everything with onvif-zeep-async, the client of Home Assistant,
which reads answers by ONVIF's own WSDL files, and writes what it got as JSON."""

import asyncio
import json
import sys

from onvif import ONVIFCamera
from zeep.exceptions import Fault
from zeep.helpers import serialize_object


async def main(host, port, user, password):
    camera = ONVIFCamera(host, int(port), user, password)
    said = {}
    try:
        await camera.update_xaddrs()
        device = await camera.create_devicemgmt_service()
        media = await camera.create_media_service()
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        for service, name, arguments in [
            (device, "GetSystemDateAndTime", None),
            (device, "GetDeviceInformation", None),
            (device, "GetNetworkInterfaces", None),
            (device, "GetScopes", None),
            (device, "GetHostname", None),
            (device, "GetEndpointReference", None),
            (device, "GetServiceCapabilities", None),
            (device, "GetNetworkDefaultGateway", None),
            (device, "GetDNS", None),
            (device, "GetCapabilities", {"Category": "All"}),
            (device, "GetServices", {"IncludeCapability": False}),
            (media, "GetProfiles", None),
            (media, "GetProfile", {"ProfileToken": "sub"}),
            (media, "GetVideoSources", None),
            (media, "GetSnapshotUri", {"ProfileToken": "main"}),
            (media, "GetStreamUri", {"StreamSetup": setup, "ProfileToken": "main"}),
        ]:
            call = getattr(service, name)
            said[name] = serialize_object(await (call(arguments) if arguments else call()), dict)
        try:
            await media.GetProfile({"ProfileToken": "none"})
        except Fault as fault:
            said["fault"] = [code.localname for code in fault.subcodes]
        said["snapshot"] = len(await camera.get_snapshot("main"))
    except Fault as fault:
        said["refused"] = [code.localname for code in fault.subcodes or []] or str(fault)
    finally:
        await camera.close()
    print(json.dumps(said, default=str))


asyncio.run(main(*sys.argv[1:]))
