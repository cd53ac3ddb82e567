//! What the person does in rooms and with what is theirs.

use base64::{Engine, prelude::BASE64_STANDARD};
use matrix_sdk::{
    Client, Room,
    attachment::{AttachmentConfig, AttachmentInfo, BaseImageInfo},
    media::{MediaFormat, MediaRequestParameters, MediaThumbnailSettings},
    room::{
        IncludeRelations, MessagesOptions, Receipts, RelationsOptions,
        edit::EditedContent,
        reply::{EnforceThread, Reply},
    },
    ruma::{
        OwnedRoomOrAliasId, OwnedServerName, RoomVersionId, UInt,
        api::client::{
            directory::get_public_rooms_filtered,
            receipt::create_receipt::v3::ReceiptType,
            room::{Visibility, create_room, upgrade_room},
            search::search_events,
            space::get_hierarchy,
        },
        assign,
        events::{
            AnyInitialStateEvent, InitialStateEvent, Mentions,
            reaction::ReactionEventContent,
            receipt::ReceiptThread,
            relation::Annotation,
            room::{
                MediaSource,
                encryption::RoomEncryptionEventContent,
                history_visibility::RoomHistoryVisibilityEventContent,
                message::{
                    AddMentions, ReplyWithinThread, RoomMessageEventContent,
                    RoomMessageEventContentWithoutRelation,
                },
            },
            tag::TagInfo,
        },
        room::RoomType,
        serde::Raw,
    },
};
use serde_json::{Value, json, value::to_raw_value};

use crate::{Command, Refused};

pub(crate) type Answer = Result<Value, Refused>;

/// The most people that are found at a time.
const PEOPLE: u64 = 20;

pub(crate) fn done() -> Answer {
    Ok(json!({}))
}

fn plain(body: &str) -> RoomMessageEventContentWithoutRelation {
    RoomMessageEventContentWithoutRelation::text_plain(body)
}

fn raw<T>(value: &Value) -> Result<Raw<T>, Refused> {
    Ok(Raw::from_json(to_raw_value(value)?))
}

async fn send(room: &Room, content: RoomMessageEventContent) -> Answer {
    Ok(json!(room.send(content).await?.response.event_id))
}

/// Obeys a command that is not about a room that the library knows. None means that it is about one.
pub(crate) async fn with_client(client: &Client, name: &str, command: &Command) -> Option<Answer> {
    Some(match name {
        "set_display_name" => set_display_name(client, command).await,
        "set_avatar" => set_avatar(client, command).await,
        "get_profile" => get_profile(client, command).await,
        "find_people" => find_people(client, command).await,
        "create_room" => create_room(client, command).await,
        "join" => join(client, command).await,
        "hierarchy" => hierarchy(client, command).await,
        "public_rooms" => public_rooms(client, command).await,
        "search" => search(client, command).await,
        "set_account_data" => set_account_data(client, command).await,
        "upload" => upload(client, command).await,
        "download" => media(client, command, MediaFormat::File).await,
        "download_encrypted" => download_encrypted(client, command).await,
        "thumbnail" => {
            let (width, height) = (command.number("width").into(), command.number("height").into());
            media(client, command, MediaFormat::Thumbnail(MediaThumbnailSettings::new(width, height))).await
        }
        _ => return None,
    })
}

async fn set_display_name(client: &Client, command: &Command) -> Answer {
    client.account().set_display_name(command.optional("name")).await?;
    done()
}

async fn set_avatar(client: &Client, command: &Command) -> Answer {
    client.account().set_avatar_url(Some(&command.mxc()?)).await?;
    done()
}

async fn get_profile(client: &Client, command: &Command) -> Answer {
    let profile = client.account().fetch_user_profile_of(&command.user()?).await?;
    Ok(json!({ "name": profile.get("displayname"), "avatar": profile.get("avatar_url") }))
}

async fn find_people(client: &Client, command: &Command) -> Answer {
    let found = client.search_users(command.text("term")?, PEOPLE).await?.results;
    let people = found
        .into_iter()
        .map(|one| json!({ "user": one.user_id, "name": one.display_name, "avatar": one.avatar_url }));
    Ok(people.collect())
}

async fn create_room(client: &Client, command: &Command) -> Answer {
    use create_room::v3::{CreationContent, Request, RoomPreset};

    let public = command.yes("public");
    let creation_content = assign!(CreationContent::new(), {
        room_type: command.yes("space").then_some(RoomType::Space),
    });
    let request = assign!(Request::new(), {
        creation_content: Some(Raw::new(&creation_content)?),
        invite: command.users("invite")?,
        is_direct: command.yes("direct"),
        name: command.owned("name"),
        topic: command.owned("topic"),
        initial_state: initial_state(command)?,
        preset: Some(if public { RoomPreset::PublicChat } else { RoomPreset::PrivateChat }),
        room_alias_name: command.owned("alias"),
        visibility: if public { Visibility::Public } else { Visibility::Private },
    });
    Ok(json!(client.create_room(request).await?.room_id()))
}

fn initial_state(command: &Command) -> Result<Vec<Raw<AnyInitialStateEvent>>, Refused> {
    let mut state = Vec::new();
    if command.yes("encrypted") {
        let content = RoomEncryptionEventContent::with_recommended_defaults();
        state.push(InitialStateEvent::with_empty_state_key(content).to_raw_any());
    }
    if let Some(visibility) = command.optional("history_visibility") {
        let content = RoomHistoryVisibilityEventContent::new(visibility.into());
        state.push(InitialStateEvent::with_empty_state_key(content).to_raw_any());
    }
    Ok(state)
}

async fn join(client: &Client, command: &Command) -> Answer {
    let room = OwnedRoomOrAliasId::try_from(command.text("room")?)?;
    Ok(json!(client.join_room_by_id_or_alias(&room, &[]).await?.room_id()))
}

async fn hierarchy(client: &Client, command: &Command) -> Answer {
    let request = get_hierarchy::v1::Request::new(command.text("room")?.try_into()?);
    let rooms = client.send(request).await?.rooms.into_iter().map(|one| {
        json!({ "room": one.summary.room_id, "name": one.summary.name, "children": one.children_state.len() })
    });
    Ok(rooms.collect())
}

async fn public_rooms(client: &Client, command: &Command) -> Answer {
    let mut request = get_public_rooms_filtered::v3::Request::new();
    request.server = command.optional("server").map(OwnedServerName::try_from).transpose()?;
    request.filter.generic_search_term = command.owned("term");
    let found = client.public_rooms_filtered(request).await?.chunk;
    let rooms = found.into_iter().map(|one| {
        json!({ "room": one.room_id, "name": one.name, "topic": one.topic, "members": one.num_joined_members })
    });
    Ok(rooms.collect())
}

async fn search(client: &Client, command: &Command) -> Answer {
    use search_events::v3::{Categories, Criteria, OrderBy, Request};

    let mut criteria = Criteria::new(command.text("term")?.to_owned());
    criteria.filter.rooms = Some(vec![command.text("room")?.try_into()?]);
    criteria.order_by = Some(OrderBy::Recent);
    let categories = assign!(Categories::new(), { room_events: Some(criteria) });
    let found = client.send(Request::new(categories)).await?.search_categories.room_events.results;
    Ok(found.into_iter().map(|one| json!(one.result)).collect())
}

async fn set_account_data(client: &Client, command: &Command) -> Answer {
    let content = raw(&command.0["content"])?;
    client.account().set_account_data_raw(command.text("type")?.into(), content).await?;
    done()
}

async fn upload(client: &Client, command: &Command) -> Answer {
    let data = BASE64_STANDARD.decode(command.text("data")?)?;
    let mimetype = command.text("mimetype")?.parse()?;
    Ok(json!(client.media().upload(&mimetype, data, None).await?.content_uri))
}

async fn media(client: &Client, command: &Command, format: MediaFormat) -> Answer {
    let request = MediaRequestParameters { source: MediaSource::Plain(command.mxc()?), format };
    let data = client.media().get_media_content(&request, false).await?;
    Ok(json!({ "data": BASE64_STANDARD.encode(data) }))
}

async fn download_encrypted(client: &Client, command: &Command) -> Answer {
    let source = MediaSource::Encrypted(serde_json::from_value(command.0["file"].clone())?);
    let request = MediaRequestParameters { source, format: MediaFormat::File };
    let data = client.media().get_media_content(&request, false).await?;
    Ok(json!({ "data": BASE64_STANDARD.encode(data) }))
}

pub(crate) async fn in_room(client: &Client, name: &str, command: &Command, room: &Room) -> Answer {
    let reason = command.optional("reason");
    match name {
        "leave" => room.leave().await?,
        "forget" => room.forget().await?,
        "invite" => room.invite_user_by_id(&command.user()?).await?,
        "kick" => room.kick_user(&command.user()?, reason).await?,
        "ban" => room.ban_user(&command.user()?, reason).await?,
        "unban" => room.unban_user(&command.user()?, None).await?,
        "typing" => room.typing_notice(command.yes("on")).await?,
        "receipt" => return receipt(room, command).await,
        "read_markers" => {
            let receipts = Receipts::new()
                .fully_read_marker(command.optional_event("fully_read")?)
                .public_read_receipt(command.optional_event("read")?)
                .private_read_receipt(command.optional_event("private")?);
            room.send_multiple_receipts(receipts).await?;
        }
        "tag" => {
            let info = assign!(TagInfo::new(), { order: command.0["order"].as_f64() });
            room.set_tag(command.text("tag")?.into(), info).await?;
        }
        "untag" => {
            room.remove_tag(command.text("tag")?.into()).await?;
        }
        "set_room_account_data" => {
            let content = raw(&command.0["content"])?;
            room.set_account_data_raw(command.text("type")?.into(), content).await?;
        }
        "upgrade" => {
            let version = RoomVersionId::try_from(command.text("version")?)?;
            let request = upgrade_room::v3::Request::new(room.room_id().to_owned(), version);
            return Ok(json!(client.send(request).await?.replacement_room));
        }
        "send_picture" => return send_picture(room, command).await,
        "messages" => return messages(room, command).await,
        "relations" => return relations(room, command).await,
        _ => return send_in_room(name, command, room, reason).await,
    }
    done()
}

async fn receipt(room: &Room, command: &Command) -> Answer {
    let kind = if command.yes("private") { ReceiptType::ReadPrivate } else { ReceiptType::Read };
    let thread = ReceiptThread::try_from(command.optional("thread"))?;
    room.send_single_receipt(kind, thread, command.event("event")?).await?;
    done()
}

async fn send_picture(room: &Room, command: &Command) -> Answer {
    let data = BASE64_STANDARD.decode(command.text("data")?)?;
    let info = assign!(BaseImageInfo::default(), {
        width: Some(command.number("width").into()),
        height: Some(command.number("height").into()),
        size: data.len().try_into().ok(),
    });
    let config = AttachmentConfig::new().info(AttachmentInfo::Image(info));
    let mimetype = command.text("mimetype")?.parse()?;
    let response = room.send_attachment(command.text("name")?, &mimetype, data, config).await?;
    Ok(json!(response.event_id))
}

async fn messages(room: &Room, command: &Command) -> Answer {
    let mut options = MessagesOptions::backward().from(command.optional("start"));
    options.limit = UInt::from(command.number("limit"));
    let page = room.messages(options).await?;
    let events: Vec<_> = page.chunk.iter().map(|event| json!(event.raw())).collect();
    Ok(json!({ "events": events, "end": page.end }))
}

async fn relations(room: &Room, command: &Command) -> Answer {
    let options = RelationsOptions {
        include_relations: IncludeRelations::RelationsOfType(command.text("rel_type")?.into()),
        ..Default::default()
    };
    let found = room.relations(command.event("event")?, options).await?.chunk;
    Ok(found.iter().map(|event| json!(event.raw())).collect())
}

/// Obeys commands that answer with the event that they sent.
async fn send_in_room(name: &str, command: &Command, room: &Room, reason: Option<&str>) -> Answer {
    Ok(match name {
        "set_name" => json!(room.set_name(command.text("name")?.to_owned()).await?.event_id),
        "set_topic" => json!(room.set_room_topic(command.text("topic")?).await?.event_id),
        "set_room_avatar" => json!(room.set_avatar_url(&command.mxc()?, None).await?.event_id),
        "set_state" => {
            let (kind, key) = (command.text("type")?, command.text("state_key")?);
            json!(room.send_state_event_raw(kind, key, command.0["content"].clone()).await?.event_id)
        }
        "send" => {
            let kind = command.optional("type").unwrap_or("m.room.message");
            json!(room.send_raw(kind, command.0["content"].clone()).await?.response.event_id)
        }
        "send_text" => {
            let mut content = RoomMessageEventContent::text_plain(command.text("body")?);
            let mentioned = command.users("mentions")?;
            if !mentioned.is_empty() {
                content = content.add_mentions(Mentions::with_user_ids(mentioned));
            }
            return send(room, content).await;
        }
        "send_image" => {
            let info = json!({
                "mimetype": command.0["mimetype"], "size": command.0["size"],
                "w": command.0["width"], "h": command.0["height"],
            });
            let content = json!({
                "msgtype": "m.image", "body": command.0["name"], "url": command.0["mxc"], "info": info,
            });
            return send(room, serde_json::from_value(content)?).await;
        }
        "reply" => return reply(room, command, "event", EnforceThread::MaybeThreaded).await,
        "reply_in_thread" => {
            return reply(room, command, "latest", EnforceThread::Threaded(ReplyWithinThread::No)).await;
        }
        "react" => {
            let annotation = Annotation::new(command.event("event")?, command.text("key")?.to_owned());
            json!(room.send(ReactionEventContent::new(annotation)).await?.response.event_id)
        }
        "edit" => {
            let new = EditedContent::RoomMessage(plain(command.text("body")?));
            let content = room.make_edit_event(&command.event("event")?, new).await?;
            json!(room.send(content).await?.response.event_id)
        }
        "redact" => json!(room.redact(&command.event("event")?, reason, None).await?.event_id),
        other => return Err(Refused::new(format!("there is no command `{other}`"))),
    })
}

async fn reply(room: &Room, command: &Command, key: &str, enforce_thread: EnforceThread) -> Answer {
    let to = Reply { event_id: command.event(key)?, enforce_thread, add_mentions: AddMentions::No };
    send(room, room.make_reply_event(plain(command.text("body")?), to).await?).await
}
