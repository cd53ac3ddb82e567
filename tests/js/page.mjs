// A person who uses matrix-js-sdk in a page: what chromium.mjs calls, and the other way round.

import { beginCommand, closeAt, hasLostDatabase, sentSoFar, watch } from "./closing.mjs";
import { start } from "./seen.mjs";
import { obey } from "./person.mjs";
import { client, connect, hasUploadedKeys, resume } from "./session.mjs";

// `tell`, `loseDatabase`, `closeDatabases`, `readKeys` and `writeKeys` are of chromium.mjs.
watch(() => globalThis.loseDatabase(""));
const tell = (line) => {
    if (!hasLostDatabase()) globalThis.tell(JSON.stringify(line));
};
connect(tell, { read: globalThis.readKeys, write: globalThis.writeKeys });

globalThis.obey = (line) => {
    beginCommand();
    return obey(line);
};
globalThis.sentSoFar = sentSoFar;
globalThis.closeAt = closeAt;
// What lets the next page go on as the same device.
globalThis.session = () =>
    client && {
        user_id: client.getUserId(),
        device_id: client.getDeviceId(),
        access_token: client.getAccessToken(),
        known: hasUploadedKeys(),
    };
globalThis.goOn = async (server, { known, ...session }, { limit, ...options }) => {
    await resume(server, session, { ...options, known });
    await start(limit);
};
