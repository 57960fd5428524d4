// Finds cameras with the npm package onvif, asks each who it is and where its
// pictures are, and writes one line of JSON for each.
const { Discovery } = require('onvif');

const [user, password] = process.argv.slice(2);
const ask = (cam, method, ...args) => new Promise((done, failed) =>
	cam[method](...args, (error, result) => (error ? failed(error) : done(result))));

async function look(cam) {
	cam.username = user;
	cam.password = password;
	const said = { xaddrs: cam.xaddrs.map(String) };
	try {
		await ask(cam, 'connect');
		said.information = await ask(cam, 'getDeviceInformation');
		said.interfaces = await ask(cam, 'getNetworkInterfaces');
		said.scopes = (await ask(cam, 'getScopes')).map((s) => s.scopeItem);
		said.profiles = cam.profiles.map((p) => p.$.token);
		said.snapshot = (await ask(cam, 'getSnapshotUri')).uri;
		said.stream = (await ask(cam, 'getStreamUri', { protocol: 'RTSP' })).uri;
	} catch (error) {
		said.error = error.message;
	}
	console.log(JSON.stringify(said));
}

Discovery.on('error', (error) => console.error('discovery:', error));
Discovery.probe({ timeout: 1500 }, (error, cams) => Promise.all(cams.map(look)));
