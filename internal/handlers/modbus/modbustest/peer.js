// A server of modbus-serial. Its argument is JSON: host, port, units (their ids),
// objects (of Read Device Identification, by number). It ends with its input.
const { ServerTCP } = require("modbus-serial");

const given = JSON.parse(process.argv[2]);
const vector = { getHoldingRegister: (address) => address };
if (Object.keys(given.objects).length > 0) {
  vector.readDeviceIdentification = () => ({ ...given.objects });
}
for (const unit of given.units.slice(0, 1)) {
  // 255 is all units; any other only itself.
  const server = new ServerTCP(vector, { host: given.host, port: given.port, unitID: unit });
  server.on("initialized", () => console.log("ready"));
  server.on("socketError", () => {});
}
process.stdin.on("end", () => process.exit(0)).resume();
