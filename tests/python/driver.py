"""A person who uses matrix-nio: obeys commands on standard input, tells on standard output what the library sees.

The commands and events are those of tests/clients/PROTOCOL.md. What matrix-nio has a method for is done by that
method; the few things it has none for go through its own HTTP session.
"""

import asyncio
import base64
import inspect
import io
import json
import logging
import sys
from urllib.parse import quote

import nio
from nio.api import RelationshipType

from encryption import Encryption
from wire import Refused, ok, unsupported, write

# What fails is in the replies.
logging.disable()

LINE_LIMIT = 16 * 1024 * 1024


class Person(Encryption):
    def __init__(self):
        self.client = None
        self.syncing = None
        self.server = None
        self.store = None
        self.forget_all()

    def forget_all(self):
        self.memberships = {}
        self.inviters = {}
        self.room_account_data = {}
        self.account_data = {}
        self.shown = {}

    # Sessions

    async def register(self, server, username, password, encrypted=False, store=None, device_name=None, **_):
        self.connect(server, username, store if encrypted else None)
        # matrix-nio's `register` sends the stage with the first request and keeps the session of the answer.
        response = ok(await self.client.register(username, password, device_name or "nio"))
        self.client.restore_login(response.user_id, response.device_id, response.access_token)
        return self.session()

    async def login(
        self, server, username="", password=None, token=None, encrypted=False, store=None, device_name=None, **_
    ):
        self.connect(server, username, store if encrypted else None)
        ok(await self.client.login(password, device_name=device_name or "nio", token=token))
        return self.session()

    def connect(self, server, username, store):
        """Without a folder for keys, everything is as if there were no encryption."""
        self.server, self.store = server, store
        config = nio.AsyncClientConfig(encryption_enabled=store is not None)
        self.client = nio.AsyncClient(server, username, store_path=store or "", config=config)

    def session(self):
        client = self.client
        return {"user": client.user_id, "device": client.device_id, "token": client.access_token}

    async def start(self):
        self.begin_encryption()
        first = asyncio.get_running_loop().create_future()
        self.syncing = asyncio.create_task(self.sync_forever(first))
        await first
        return {}

    async def reload(self):
        if self.store is None:
            raise unsupported()
        old = self.client
        await self.stop()
        self.forget_all()
        self.connect(self.server, old.user, self.store)
        self.client.restore_login(old.user_id, old.device_id, old.access_token)
        return await self.start()

    async def stop(self):
        if self.syncing:
            self.syncing.cancel()
        if self.client:
            await self.client.close()

    async def logout(self):
        self.syncing.cancel()
        ok(await self.client.logout())
        await self.stop()
        return {}

    # What is seen

    async def sync_forever(self, first):
        timeout_ms = 0
        while True:
            response = await self.client.sync(timeout=timeout_ms)
            if isinstance(response, nio.SyncError):
                error = Refused(response.status_code or "", response.message)
                if not first.done():
                    first.set_exception(error)
                write({"event": "sync_failed", "message": f"{error.code} {response.message}".strip()})
                return
            timeout_ms = 30_000
            self.show(response)
            await self.send_keys()
            if not first.done():
                first.set_result(None)

    def show(self, response):
        rooms = response.rooms
        for room_id, info in rooms.join.items():
            self.memberships[room_id] = "join"
            self.show_timeline(room_id, info.timeline)
            self.show_ephemeral(room_id, info.ephemeral)
            for event in info.account_data:
                if isinstance(event, nio.UnknownAccountDataEvent):
                    self.room_account_data.setdefault(room_id, {})[event.type] = event.content
        for room_id, info in rooms.invite.items():
            self.memberships[room_id] = "invite"
            for event in info.invite_state:
                if isinstance(event, nio.InviteMemberEvent) and event.state_key == self.client.user_id:
                    self.inviters[room_id] = event.sender
        for room_id, info in rooms.leave.items():
            self.memberships[room_id] = "leave"
            self.show_timeline(room_id, info.timeline)
            for event in info.timeline.events:
                if getattr(event, "state_key", None) == self.client.user_id:
                    self.memberships[room_id] = event.source["content"].get("membership", "leave")
        for event in response.account_data_events:
            if isinstance(event, nio.UnknownAccountDataEvent):
                self.account_data[event.type] = event.content
                write({"event": "account_data", "type": event.type, "content": event.content})
        for room_id in [*rooms.join, *rooms.invite, *rooms.leave]:
            self.show_room(room_id)
        write({"event": "synced"})

    def show_timeline(self, room_id, timeline):
        for event in timeline.events:
            write({"event": "timeline", "room": room_id} | self.undecryptable.describe(event))

    def show_ephemeral(self, room_id, ephemeral):
        for event in ephemeral:
            if not isinstance(event, nio.ReceiptEvent):
                continue
            for receipt in event.receipts:
                write(
                    {
                        "event": "receipt",
                        "room": room_id,
                        "id": receipt.event_id,
                        "user": receipt.user_id,
                        "kind": receipt.receipt_type,
                        "thread": receipt.thread_id,
                    }
                )

    def show_room(self, room_id):
        state = self.room_state(room_id)
        if self.shown.get(room_id) != state:
            self.shown[room_id] = state
            write({"event": "room", "room": room_id, "state": state})

    def room_state(self, room_id):
        membership = self.memberships[room_id]
        known = self.client.invited_rooms if membership == "invite" else self.client.rooms
        room = known.get(room_id)
        state = {"membership": membership, "inviter": self.inviters.get(room_id)}
        if room is None:
            return state
        state |= {
            "name": room.name,
            "title": room.display_name,
            "topic": room.topic,
            "avatar": room.room_avatar_url,
            "members": {
                user.user_id: {
                    "membership": "invite" if user.invited else "join",
                    "name": user.display_name,
                    "avatar": user.avatar_url,
                }
                for user in list(room.users.values())
            },
            "typing": sorted(room.typing_users),
            "fully_read": room.fully_read_marker,
            "notifications": room.unread_notifications,
            "highlights": room.unread_highlights,
            "tags": {tag: (content or {}).get("order") for tag, content in (room.tags or {}).items()},
            "account_data": self.room_account_data.get(room_id, {}),
            "successor": room.replacement_room,
            "encrypted": room.encrypted,
        }
        return state

    # People

    async def set_display_name(self, name):
        ok(await self.client.set_displayname(name))
        return {}

    async def set_avatar(self, mxc):
        ok(await self.client.set_avatar(mxc))
        return {}

    async def get_profile(self, user):
        profile = ok(await self.client.get_profile(user))
        return {"name": profile.displayname, "avatar": profile.avatar_url}

    async def find_people(self, term):
        found = await self.request("POST", "/v3/user_directory/search", {"search_term": term})
        return [
            {"user": one["user_id"], "name": one.get("display_name"), "avatar": one.get("avatar_url")}
            for one in found["results"]
        ]

    # Rooms

    async def create_room(
        self, name, topic, invite, direct, public, space, alias, encrypted=False, history_visibility=None
    ):
        state = []
        if encrypted:
            state.append(nio.EnableEncryptionBuilder().as_dict())
        if history_visibility:
            state.append(nio.ChangeHistoryVisibilityBuilder(history_visibility).as_dict())
        response = await self.client.room_create(
            visibility=nio.RoomVisibility.public if public else nio.RoomVisibility.private,
            alias=alias,
            name=name,
            topic=topic,
            is_direct=direct,
            preset=nio.RoomPreset.public_chat if public else nio.RoomPreset.private_chat,
            invite=invite,
            space=space,
            initial_state=state,
        )
        return ok(response).room_id

    async def join(self, room):
        return ok(await self.client.join(room)).room_id

    async def leave(self, room):
        ok(await self.client.room_leave(room))
        return {}

    async def forget(self, room):
        ok(await self.client.room_forget(room))
        return {}

    async def invite(self, room, user):
        ok(await self.client.room_invite(room, user))
        return {}

    async def kick(self, room, user, reason):
        ok(await self.client.room_kick(room, user, reason))
        return {}

    async def ban(self, room, user, reason):
        ok(await self.client.room_ban(room, user, reason))
        return {}

    async def unban(self, room, user):
        ok(await self.client.room_unban(room, user))
        return {}

    async def set_name(self, room, name):
        return await self.set_state(room, "m.room.name", "", {"name": name})

    async def set_topic(self, room, topic):
        return ok(await self.client.update_room_topic(room, topic)).event_id

    async def set_room_avatar(self, room, mxc):
        return await self.set_state(room, "m.room.avatar", "", {"url": mxc})

    async def set_state(self, room, type, state_key, content):
        return ok(await self.client.room_put_state(room, type, content, state_key)).event_id

    async def upgrade(self, room, version):
        return ok(await self.client.room_upgrade(room, version)).room_id

    async def hierarchy(self, room):
        return [
            {"room": one["room_id"], "name": one.get("name"), "children": len(one["children_state"])}
            for one in ok(await self.client.space_get_hierarchy(room)).rooms
        ]

    async def public_rooms(self, server, term):
        response = ok(await self.client.list_public_rooms(server=server, filter_generic_search_term=term))
        return [
            {"room": one.room_id, "name": one.name, "topic": one.topic, "members": one.num_joined_members}
            for one in response.public_rooms
        ]

    # Messages

    async def send(self, room, content, type="m.room.message"):
        return ok(
            await self.client.room_send(room, type, content, ignore_unverified_devices=True)
        ).event_id

    async def send_text(self, room, body, mentions):
        content = {"msgtype": "m.text", "body": body}
        if mentions:
            content["m.mentions"] = {"user_ids": mentions}
        return await self.send(room, content)

    async def send_image(self, room, mxc, name, mimetype, size, width, height):
        info = {"mimetype": mimetype, "size": size, "w": width, "h": height}
        return await self.send(room, {"msgtype": "m.image", "body": name, "url": mxc, "info": info})

    async def reply(self, room, event, body):
        relation = {"m.in_reply_to": {"event_id": event}}
        return await self.send(room, {"msgtype": "m.text", "body": body, "m.relates_to": relation})

    async def reply_in_thread(self, room, root, latest, body):
        relation = {
            "rel_type": "m.thread",
            "event_id": root,
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": latest},
        }
        return await self.send(room, {"msgtype": "m.text", "body": body, "m.relates_to": relation})

    async def react(self, room, event, key):
        relation = {"rel_type": "m.annotation", "event_id": event, "key": key}
        return await self.send(room, {"m.relates_to": relation}, "m.reaction")

    async def edit(self, room, event, body):
        new = {"msgtype": "m.text", "body": body}
        relation = {"rel_type": "m.replace", "event_id": event}
        content = {"msgtype": "m.text", "body": f"* {body}", "m.new_content": new, "m.relates_to": relation}
        return await self.send(room, content)

    async def redact(self, room, event, reason):
        return ok(await self.client.room_redact(room, event, reason)).event_id

    async def messages(self, room, start, limit):
        page = ok(await self.client.room_messages(room, start=start, limit=limit))
        return {"events": [event.source for event in page.chunk], "end": page.end}

    async def relations(self, room, event, rel_type):
        kind = RelationshipType(rel_type)
        found = self.client.room_get_event_relations(room, event, kind)
        return [related.source async for related in found]

    async def search(self, term, room):
        criteria = {"search_term": term, "filter": {"rooms": [room]}, "order_by": "recent"}
        found = await self.request("POST", "/v3/search", {"search_categories": {"room_events": criteria}})
        return [one["result"] for one in found["search_categories"]["room_events"].get("results", [])]

    # Reading

    async def typing(self, room, on):
        ok(await self.client.room_typing(room, on))
        return {}

    async def receipt(self, room, event, private, thread):
        kind = nio.ReceiptType.read_private if private else nio.ReceiptType.read
        if thread is None:
            # matrix-nio would send null, which is not a thread.
            path = f"/v3/rooms/{quote(room)}/receipt/{kind.value}/{quote(event)}"
            return await self.request("POST", path, {})
        ok(await self.client.update_receipt_marker(room, event, kind, thread))
        return {}

    async def read_markers(self, room, fully_read, read, private):
        ok(await self.client.room_read_markers(room, fully_read, read, private))
        return {}

    # Private data

    async def tag(self, room, tag, order):
        path = f"/v3/user/{self.me()}/rooms/{quote(room)}/tags/{quote(tag)}"
        return await self.request("PUT", path, {"order": order})

    async def untag(self, room, tag):
        path = f"/v3/user/{self.me()}/rooms/{quote(room)}/tags/{quote(tag)}"
        return await self.request("DELETE", path)

    async def set_account_data(self, type, content):
        return await self.request("PUT", f"/v3/user/{self.me()}/account_data/{quote(type)}", content)

    async def set_room_account_data(self, room, type, content):
        path = f"/v3/user/{self.me()}/rooms/{quote(room)}/account_data/{quote(type)}"
        return await self.request("PUT", path, content)

    # Pictures

    async def upload(self, data, mimetype, name):
        bytes_ = base64.b64decode(data)
        response, _ = await self.client.upload(
            io.BytesIO(bytes_), content_type=mimetype, filename=name, filesize=len(bytes_)
        )
        return ok(response).content_uri

    async def download(self, mxc):
        response = ok(await self.client.download(mxc))
        return {"data": base64.b64encode(response.body).decode(), "mimetype": response.content_type}

    async def thumbnail(self, mxc, width, height):
        server, media = mxc.removeprefix("mxc://").split("/")
        response = ok(await self.client.thumbnail(server, media, width, height, nio.ResizingMethod.scale))
        return {"data": base64.b64encode(response.body).decode(), "mimetype": response.content_type}

    # What matrix-nio has no method for

    def me(self):
        return quote(self.client.user_id)

    async def request(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.client.access_token}"}
        data = None if body is None else json.dumps(body)
        path = "/_matrix/client" + path
        async with await self.client.send(method, path, data, headers) as response:
            answer = await response.json()
        if response.status != 200:
            raise Refused(answer.get("errcode", ""), answer.get("error", ""))
        return answer


COMMANDS = dict(inspect.getmembers(Person, inspect.iscoroutinefunction))


async def obey(person, line):
    command = json.loads(line)
    reply = {"id": command.pop("id")}
    do = COMMANDS.get(command.pop("do"))
    try:
        if do is None:
            raise unsupported()
        reply["ok"] = await do(person, **command)
    except Refused as refused:
        reply["error"] = {"code": refused.code, "message": str(refused)}
    except Exception as error:  # the test says what went wrong, and goes on to say what it was doing
        reply["error"] = {"code": "", "message": f"{type(error).__name__}: {error}"}
    write(reply)


async def main():
    commands = asyncio.StreamReader(limit=LINE_LIMIT)
    protocol = asyncio.StreamReaderProtocol(commands)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    person = Person()
    while line := await commands.readline():
        await obey(person, line)
    await person.stop()


asyncio.run(main())
