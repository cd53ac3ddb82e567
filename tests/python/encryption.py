"""Encryption with matrix-nio: keys, whose devices are known, what could not be decrypted, pictures and devices."""

import base64
import io

import nio
from nio.crypto import GroupSessionStore
from nio.crypto.attachments import decrypt_attachment

from verification import Verifications
from wire import Refused, ok, unsupported, write


add_session = GroupSessionStore.add


def add_better_session(store, session):
    """matrix-nio puts a key that begins later in the place of one that it has; everybody else keeps the better one."""
    known = store.get(session.room_id, session.sender_key, session.id)
    if known is not None and known.first_known_index <= session.first_known_index:
        return False
    return add_session(store, session)


GroupSessionStore.add = add_better_session


class Undecryptable:
    """Events that came before their keys."""

    def __init__(self, client):
        self.client = client
        self.events = {}

    def describe(self, event):
        """What is told of an event of a timeline: the event, and its encryption if it came encrypted."""
        if isinstance(event, nio.MegolmEvent):
            try:
                self.client.decrypt_event(event)
                why = "unknown"
            except nio.EncryptionError as error:
                why = str(error)
            self.events[event.event_id] = event
            return {"item": event.source, "encryption": {"session": event.session_id, "undecryptable": why}}
        if getattr(event, "decrypted", False):
            return {"item": event.source, "encryption": {"session": event.session_id}}
        return {"item": event.source}

    def retry(self):
        for event_id, event in list(self.events.items()):
            try:
                decrypted = self.client.decrypt_event(event)
            except nio.EncryptionError:
                continue
            del self.events[event_id]
            write({"event": "decrypted", "room": event.room_id} | self.describe(decrypted))


class Encryption:
    """The part of a person that is about encryption."""

    def begin_encryption(self):
        self.undecryptable = Undecryptable(self.client)
        self.shown_devices = {}
        self.verifications = None
        if self.client.olm:
            self.verifications = Verifications(self.client)
            self.client.olm.users_for_key_query.add(self.client.user_id)

    async def send_keys(self):
        """What has to be sent after each sync."""
        client = self.client
        if not client.olm:
            return
        await client.send_to_device_messages()
        if client.should_upload_keys:
            ok(await client.keys_upload())
        if client.should_query_keys:
            ok(await client.keys_query())
        if client.should_claim_keys:
            ok(await client.keys_claim(client.get_users_for_key_claiming()))
        self.undecryptable.retry()
        self.show_devices()

    def show_devices(self):
        client = self.client
        for user in client.olm.tracked_users:
            devices = {device.id for device in client.device_store.active_user_devices(user)}
            if user == client.user_id:
                devices.add(client.device_id)
            if self.shown_devices.get(user) != devices:
                self.shown_devices[user] = devices
                write({"event": "devices", "user": user, "devices": sorted(devices)})

    # Pictures

    async def send_picture(self, room, data, mimetype, name, width, height):
        bytes_ = base64.b64decode(data)
        encrypted = self.client.olm is not None and self.client.rooms[room].encrypted
        response, keys = await self.client.upload(
            io.BytesIO(bytes_), content_type=mimetype, filename=name, encrypt=encrypted, filesize=len(bytes_)
        )
        url = ok(response).content_uri
        info = {"mimetype": mimetype, "size": len(bytes_), "w": width, "h": height}
        where = {"file": keys | {"url": url}} if encrypted else {"url": url}
        return await self.send(room, {"msgtype": "m.image", "body": name, "info": info} | where)

    async def download_encrypted(self, file):
        body = ok(await self.client.download(file["url"])).body
        decrypted = decrypt_attachment(body, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
        return {"data": base64.b64encode(decrypted).decode()}

    # Trust

    async def bootstrap_cross_signing(self, **_):
        raise unsupported()

    async def cross_signing(self, **_):
        raise unsupported()

    async def is_verified(self, user, device=None):
        known = self.client.device_store[user].get(device) if device else None
        verified = self.client.olm.is_device_verified(known) if known else None
        return {"user": None, "device": verified}

    async def verify(self, user, device=None, room=None):
        if room is not None:
            raise unsupported()
        return await self.verifications.verify(user, device)

    async def verification_accept(self, user, flow):
        await self.verifications.accept(self.verifications.find(user, flow))
        return {}

    async def verification_start(self, user, flow):
        await self.verifications.start(self.verifications.find(user, flow))
        return {}

    async def verification_cancel(self, user, flow):
        await self.verifications.cancel(self.verifications.find(user, flow))
        return {}

    async def sas_confirm(self, user, flow):
        await self.verifications.confirm(self.verifications.find(user, flow))
        return {}

    async def sas_mismatch(self, user, flow):
        await self.verifications.mismatch(self.verifications.find(user, flow))
        return {}

    # Backups and devices

    async def enable_recovery(self):
        raise unsupported()

    async def recover(self, **_):
        raise unsupported()

    async def backed_up(self):
        raise unsupported()

    async def backup(self):
        raise unsupported()

    async def devices(self):
        found = ok(await self.client.devices()).devices
        return [{"device": device.id, "name": device.display_name} for device in found]

    async def delete_device(self, device, password):
        response = ok(await self.client.delete_devices([device]))
        if isinstance(response, nio.DeleteDevicesAuthResponse):
            who = {"type": "m.id.user", "user": self.client.user_id}
            auth = {"type": "m.login.password", "identifier": who, "password": password}
            response = ok(await self.client.delete_devices([device], auth | {"session": response.session}))
            if isinstance(response, nio.DeleteDevicesAuthResponse):
                raise Refused("M_FORBIDDEN", "the password was not accepted")
        return {}

    async def room_keys(self):
        keys = [
            {
                "algorithm": "m.megolm.v1.aes-sha2",
                "room_id": session.room_id,
                "session_id": session.id,
                "session_key": session.export_session(session.first_known_index),
                "sender_key": session.sender_key,
                "sender_claimed_keys": {"ed25519": session.ed25519},
                "forwarding_curve25519_key_chain": session.forwarding_chain,
            }
            for session in self.client.store.load_inbound_group_sessions()
        ]
        return {"keys": keys}

    async def export_keys(self, path, passphrase):
        await self.client.export_keys(path, passphrase)
        return {}

    async def import_keys(self, path, passphrase):
        await self.client.import_keys(path, passphrase)
        self.undecryptable.retry()
        return {}
