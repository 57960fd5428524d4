// Runs OPC UA servers and a discovery server of node-opcua as it is told, one
// command a line on standard input, and answers each with a line of JSON. Its
// argument is a folder for certificates. It ends with its input.
"use strict";
const path = require("path");
const readline = require("readline");
const { OPCUAServer, RegisterServerMethod } = require("node-opcua-server");
const { OPCUADiscoveryServer } = require("node-opcua-server-discovery");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { DataType, Variant } = require("node-opcua-variant");
const { nodesets } = require("node-opcua-nodesets");

// Standard output is for answers.
console.log = console.error;

const running = new Map();
const pki = (name) => new OPCUACertificateManager({
  automaticallyAcceptUnknownCertificate: true, rootFolder: path.join(process.argv[2], name),
});

const commands = {
  // {do: "lds", name, port}
  async lds({ name, port }) {
    const server = new OPCUADiscoveryServer({
      port, serverCertificateManager: pki(name), serverInfo: { applicationUri: "urn:test:" + name },
    });
    await server.start();
    running.set(name, server);
  },
  // {do: "server", name, host, port, lds: URL or ""}
  async server({ name, host, port, lds }) {
    const server = new OPCUAServer({
      host: host || undefined, port, resourcePath: "/" + name, nodeset_filename: [],
      serverCertificateManager: pki(name), userCertificateManager: pki(name + "-users"),
      serverInfo: { applicationUri: "urn:test:" + name, productUri: "urn:test:product", applicationName: { text: name } },
      registerServerMethod: lds ? RegisterServerMethod.LDS : RegisterServerMethod.HIDDEN,
      discoveryServerEndpointUrl: lds,
    });
    await server.initialize();
    const registered = lds && new Promise((done) => server.once("serverRegistered", done));
    await server.start();
    await registered;
    running.set(name, server);
  },
  // {do: "thermometer", name, host, port, policy}: a server with the node
  // ns=1;s=Thermometer_Temperature, with one security policy, or "None". A user may
  // be "admin" with the password "akri", or nobody.
  async thermometer({ name, host, port, policy }) {
    const server = new OPCUAServer({
      host, port, resourcePath: "/" + name, nodeset_filename: [nodesets.standard],
      serverCertificateManager: pki(name), userCertificateManager: pki(name + "-users"),
      serverInfo: { applicationUri: "urn:test:" + name, productUri: "urn:test:product", applicationName: { text: name } },
      securityPolicies: ["http://opcfoundation.org/UA/SecurityPolicy#" + policy],
      securityModes: [policy === "None" ? 1 : 3], // MessageSecurityMode: None, SignAndEncrypt
      userManager: { isValidUser: (user, password) => user === "admin" && password === "akri" },
      registerServerMethod: RegisterServerMethod.HIDDEN,
    });
    await server.initialize();
    const space = server.engine.addressSpace;
    server.thermometer = space.getOwnNamespace().addVariable({
      organizedBy: space.rootFolder.objects, nodeId: "s=Thermometer_Temperature", browseName: "Thermometer_Temperature",
      dataType: "Double", value: new Variant({ dataType: DataType.Double, value: 75 }),
    });
    await server.start();
    running.set(name, server);
  },
  // {do: "set", name, value}
  async set({ name, value }) {
    running.get(name).thermometer.setValueFromSource({ dataType: DataType.Double, value });
  },
  // {do: "stop", name}
  async stop({ name }) {
    await running.get(name).shutdown(0);
    running.delete(name);
  },
};

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  let error = "";
  try {
    await commands[command.do](command);
  } catch (e) {
    error = String(e.stack || e);
  }
  process.stdout.write(JSON.stringify({ error }) + "\n");
}).on("close", () => process.exit(0));
