// A person who uses matrix-js-sdk in a page: what chromium.mjs calls, and the other way round.

import { start } from "./seen.mjs";
import { obey } from "./person.mjs";
import { client, connect, resume } from "./session.mjs";

// `tell`, `readKeys` and `writeKeys` are of chromium.mjs.
connect((line) => globalThis.tell(JSON.stringify(line)), { read: globalThis.readKeys, write: globalThis.writeKeys });

globalThis.obey = obey;
// What lets the next page go on as the same device.
globalThis.session = () => ({
    user_id: client.getUserId(),
    device_id: client.getDeviceId(),
    access_token: client.getAccessToken(),
});
globalThis.goOn = async (server, session, options) => {
    await resume(server, session, { ...options, known: true });
    await start();
};
