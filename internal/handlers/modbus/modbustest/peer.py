# A server of pymodbus. Its argument is JSON: host, port, units (their ids),
# objects (of Read Device Identification, by number). It ends with its input.
import asyncio
import json
import logging
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.server.async_io import ModbusTcpServer


async def main():
    given = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    registers = ModbusSequentialDataBlock(1, [7] * 10)  # addresses 0 to 9
    units = {u: ModbusSlaveContext(hr=registers) for u in given["units"]}
    identity = ModbusDeviceIdentification()
    for number, text in given["objects"].items():
        identity[int(number)] = text
    server = ModbusTcpServer(
        ModbusServerContext(slaves=units, single=False), identity=identity,
        address=(given["host"], given["port"]), allow_reuse_address=True)
    serving = asyncio.create_task(server.serve_forever())
    await server.serving
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    serving.cancel()


asyncio.run(main())
