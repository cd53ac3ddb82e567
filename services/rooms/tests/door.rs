//! The door of rooms: whichever way somebody becomes a member, is invited or asks to be let in, the same is asked.

mod world;

use linkspan_accounts::{AccountsError, put_account_data};
use linkspan_rooms::{DelayAction, Inserted, NewDelayedEvent, Preset, RoomsError};
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts, UserKey},
    records::AccountRecord,
};
use ruma::{
    OwnedRoomId, RoomVersionId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::{Value, json};
use world::{Graph, World, new_account, object, put_account, room_of, user};

const ALICE: &str = "@alice:a.localhost";
/// Who comes.
const BOB: &str = "@bob:b.localhost";
/// Who invites.
const DAVE: &str = "@dave:c.localhost";
/// Who invites elsewhere.
const CAROL: &str = "@carol:far.example";

const PLATFORMS: [(&str, &str); 3] =
    [("a.localhost", "optional"), ("b.localhost", "optional"), ("c.localhost", "optional")];
/// The same when Bob's platform demands encryption.
const DEMANDING: [(&str, &str); 3] =
    [("a.localhost", "optional"), ("b.localhost", "required"), ("c.localhost", "optional")];

/// A way in which Bob comes, or is brought.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Invite,
    InviteAsState,
    InviteAgain,
    InviteAgainAsState,
    InviteLater,
    InviteAtCreation,
    InviteToDirectChat,
    AnswerToKnock,
    InviteElsewhere,
    InitialState,
    Join,
    JoinAsState,
    JoinRestricted,
    AcceptedInvitation,
    Knock,
    KnockAsState,
    Create,
    Upgrade,
}
use Way::*;

const WAYS: [Way; 18] = [
    Invite,
    InviteAsState,
    InviteAgain,
    InviteAgainAsState,
    InviteLater,
    InviteAtCreation,
    InviteToDirectChat,
    AnswerToKnock,
    InviteElsewhere,
    InitialState,
    Join,
    JoinAsState,
    JoinRestricted,
    AcceptedInvitation,
    Knock,
    KnockAsState,
    Create,
    Upgrade,
];

/// What is against it, from just before Bob comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Against {
    Nothing,
    BobTakesNoInvitations,
    BobHasNoAccount,
    BobIsDeactivated,
    BobIsAGuest,
    DaveIsAGuest,
    RoomIsKeptToOnePlatform,
    BobsPlatformIsDenied,
    DavesPlatformIsDenied,
    BobsPlatformDemandsEncryption,
}
use Against::*;

impl Way {
    fn is_invitation(self) -> bool {
        matches!(
            self,
            Invite
                | InviteAsState
                | InviteAgain
                | InviteAgainAsState
                | InviteLater
                | InviteAtCreation
                | InviteToDirectChat
                | AnswerToKnock
        )
    }

    fn is_creation(self) -> bool {
        matches!(self, InviteAtCreation | InviteToDirectChat | Create | InitialState)
    }

    /// Whether Bob had something to do with the room before.
    fn has_a_past(self) -> bool {
        matches!(self, InviteAgain | InviteAgainAsState | AnswerToKnock | AcceptedInvitation | Upgrade)
    }

    /// What Bob's membership is afterwards.
    fn leads_to(self) -> MembershipState {
        match self {
            Join | JoinAsState | JoinRestricted | AcceptedInvitation | Create | Upgrade => {
                MembershipState::Join
            }
            Knock | KnockAsState => MembershipState::Knock,
            _ => MembershipState::Invite,
        }
    }
}

/// What becomes of it; None: it cannot happen at all.
fn expected(way: Way, against: Against) -> Option<&'static str> {
    if way == InitialState {
        return Some("no initial state");
    }
    Some(match against {
        Nothing => "in",
        BobTakesNoInvitations if way == InviteElsewhere => "hidden",
        BobTakesNoInvitations if way.is_invitation() => "blocked",
        BobTakesNoInvitations => "in",
        // Whoever invites does not learn who has an account.
        BobHasNoAccount | BobIsDeactivated if way.is_invitation() || way == InviteElsewhere => "hidden",
        BobHasNoAccount => return None,
        BobIsDeactivated => "deactivated",
        BobIsAGuest if way.is_invitation() || way == InviteElsewhere => "in",
        BobIsAGuest => "guest",
        DaveIsAGuest if way.is_invitation() => "guest",
        DaveIsAGuest => "in",
        RoomIsKeptToOnePlatform if way.has_a_past() || way == InviteElsewhere => return None,
        RoomIsKeptToOnePlatform if way.is_invitation() => "turned away",
        RoomIsKeptToOnePlatform if way == Create => "in",
        RoomIsKeptToOnePlatform => "forbidden",
        BobsPlatformIsDenied if way.is_invitation() || way == Create || way == InviteElsewhere => "in",
        BobsPlatformIsDenied => "forbidden",
        DavesPlatformIsDenied if way.is_invitation() && !way.is_creation() => "forbidden",
        DavesPlatformIsDenied => "in",
        // Who creates a room for somebody who needs encryption has it encrypted.
        BobsPlatformDemandsEncryption if way.is_creation() || way == Upgrade => "in",
        BobsPlatformDemandsEncryption if matches!(way, InviteAgain | InviteAgainAsState) => "in",
        BobsPlatformDemandsEncryption => "encryption",
    })
}

fn answer<T>(result: Result<T, RoomsError>) -> Result<T, &'static str> {
    result.map_err(|error| match error {
        RoomsError::InviteBlocked => "blocked",
        RoomsError::Accounts(AccountsError::Deactivated) => "deactivated",
        RoomsError::Accounts(AccountsError::Guest(_)) => "guest",
        RoomsError::TurnedAway(_) => "turned away",
        RoomsError::Forbidden(_) => "forbidden",
        RoomsError::Encryption(_) => "encryption",
        RoomsError::InvalidState(_) => "no initial state",
        error => panic!("{error:?}"),
    })
}

struct Scene {
    world: World,
    room_id: OwnedRoomId,
    /// The id of the invitation that waits to be sent, or why none does.
    later: Option<Result<String, RoomsError>>,
}

impl Scene {
    async fn set(
        &self,
        sender: &str,
        event_type: &str,
        state_key: &str,
        content: Value,
    ) -> Result<(), RoomsError> {
        let (sender, content) = (user(sender), content.to_string());
        self.world
            .rooms
            .set_state(&sender, &self.room_id, event_type, state_key, &content, 20)
            .await
            .map(drop)
    }

    async fn account(world: &World, user_id: &str, deactivated: bool, guest: bool) {
        let account = AccountRecord { deactivated, guest, ..new_account() };
        put_account(&world.store, user(user_id), &account).await;
    }

    /// A room with Alice and Dave, and what has to be there before Bob can come in this way.
    async fn before(way: Way, against: Against) -> Self {
        let world = World::of_platforms(&PLATFORMS).await;
        for user_id in [ALICE, BOB, DAVE] {
            Self::account(&world, user_id, false, false).await;
        }
        let kept = against == RoomIsKeptToOnePlatform;
        let mut command = room_of(Some(RoomVersionId::V12), Preset::PublicChat);
        command.creation_content = object(json!({ "m.federate": !kept }));
        command.power_levels = object(json!({ "state_default": 0, "invite": 0, "events": {} }));
        // Only a room of the inviter's own platform can be kept to it.
        let creator = if kept { DAVE } else { ALICE };
        let room_id = world.rooms.create_room(&user(creator), command, 1).await.expect("a room");
        if !kept {
            world.rooms.join_room(&user(DAVE), &room_id, None, 2).await.expect("joined");
        }
        let mut scene = Self { world, room_id, later: None };
        let rooms = scene.world.rooms.clone();
        match way {
            InviteElsewhere if !kept => {
                let mut graph = Graph::of_room(&scene.world, &scene.room_id, &RoomVersionId::V12).await;
                let join = graph.member(CAROL, CAROL, "join", &[]);
                assert!(matches!(scene.world.insert(&graph, &join).await, Inserted::InTimeline(_)));
            }
            InviteAgain | InviteAgainAsState | AcceptedInvitation if !kept => {
                rooms.invite(&user(DAVE), &scene.room_id, &user(BOB), None, 3).await.expect("invited");
            }
            Upgrade if !kept => rooms.join_room(&user(BOB), &scene.room_id, None, 3).await.expect("joined"),
            InviteLater => {
                let event = NewDelayedEvent {
                    attached: Vec::new(),
                    room_id: scene.room_id.clone(),
                    event_type: "m.room.member".to_owned(),
                    state_key: Some(BOB.to_owned()),
                    content: json!({ "membership": "invite" }).to_string(),
                    delay_ms: 1_000_000,
                    endpoint: "delayed_event",
                    txn_id: None,
                };
                scene.later = Some(rooms.schedule_event(&user(DAVE), &"DEVICE".into(), event, 3).await);
            }
            Knock | KnockAsState | AnswerToKnock => {
                scene
                    .set(creator, "m.room.join_rules", "", json!({ "join_rule": "knock" }))
                    .await
                    .expect("set");
                if way == AnswerToKnock && !kept {
                    rooms.knock(&user(BOB), &scene.room_id, None, 3).await.expect("knocked");
                }
            }
            JoinRestricted => {
                let space = room_of(None, Preset::PublicChat);
                let space = rooms.create_room(&user(BOB), space, 2).await.expect("a room");
                let allow = json!([{ "type": "m.room_membership", "room_id": space }]);
                let rule = json!({ "join_rule": "restricted", "allow": allow });
                scene.set(creator, "m.room.join_rules", "", rule).await.expect("set");
            }
            _ => {}
        }
        scene
    }

    async fn hinder(&mut self, against: Against) {
        let deny = |platform: &str| json!({ "allow": ["*"], "deny": [platform], "allow_ip_literals": true });
        match against {
            Nothing | RoomIsKeptToOnePlatform => {}
            BobTakesNoInvitations => {
                let mut writes = WriteSet::new();
                let content = json!({ "default_action": "block" }).to_string();
                put_account_data(&mut writes, &user(BOB), None, "m.invite_permission_config", content);
                self.world.store.commit(writes).await.expect("written");
            }
            BobHasNoAccount => {
                let mut writes = WriteSet::new();
                writes.delete::<Accounts>(&UserKey { user_id: user(BOB) });
                self.world.store.commit(writes).await.expect("written");
            }
            BobIsDeactivated => Self::account(&self.world, BOB, true, false).await,
            BobIsAGuest => Self::account(&self.world, BOB, false, true).await,
            DaveIsAGuest => Self::account(&self.world, DAVE, false, true).await,
            BobsPlatformIsDenied => {
                self.set(ALICE, "m.room.server_acl", "", deny("b.localhost")).await.expect("set");
            }
            DavesPlatformIsDenied => {
                self.set(ALICE, "m.room.server_acl", "", deny("c.localhost")).await.expect("set");
            }
            BobsPlatformDemandsEncryption => self.world = self.world.reopen(&DEMANDING).await,
        }
    }

    /// Has Bob come. The room that he has come into.
    async fn come(&mut self, way: Way, against: Against) -> Result<OwnedRoomId, &'static str> {
        let (rooms, room_id) = (&self.world.rooms, &self.room_id);
        let (bob, dave) = (user(BOB), user(DAVE));
        let as_state = |membership: &str| json!({ "membership": membership });
        let mut command = room_of(None, Preset::PrivateChat);
        command.creation_content = object(json!({ "m.federate": against != RoomIsKeptToOnePlatform }));
        match way {
            Invite | InviteAgain | AnswerToKnock => {
                answer(rooms.invite(&dave, room_id, &bob, None, 30).await)?;
            }
            InviteAsState => answer(self.set(DAVE, "m.room.member", BOB, as_state("invite")).await)?,
            InviteAgainAsState => {
                let content = json!({ "membership": "invite", "reason": "again" });
                answer(self.set(DAVE, "m.room.member", BOB, content).await)?;
            }
            InviteLater => {
                let delay_id = answer(self.later.take().expect("it was tried"))?;
                let platform = dave.server_name().to_owned();
                answer(rooms.act_on_delayed_event(&platform, &delay_id, DelayAction::Send, 30).await)?;
            }
            InviteAtCreation | InviteToDirectChat => {
                command.invite.push(bob);
                command.is_direct = way == InviteToDirectChat;
                return answer(rooms.create_room(&dave, command, 30).await);
            }
            InviteElsewhere => {
                let mut graph = Graph::of_room(&self.world, room_id, &RoomVersionId::V12).await;
                graph.clock = 30;
                let base = graph.base.clone();
                let invited = graph.member(CAROL, BOB, "invite", &[&base]);
                match self.world.insert(&graph, &invited).await {
                    Inserted::InTimeline(_) => {}
                    Inserted::SoftFailed(words) if words.contains("encryption") => return Err("encryption"),
                    other => panic!("{other:?}"),
                }
            }
            InitialState => {
                command.initial_state.push(linkspan_rooms::InitialState {
                    event_type: "m.room.member".to_owned(),
                    state_key: BOB.to_owned(),
                    content: object(as_state("invite")),
                });
                return answer(rooms.create_room(&dave, command, 30).await);
            }
            Join | JoinRestricted | AcceptedInvitation => {
                answer(rooms.join_room(&bob, room_id, None, 30).await)?;
            }
            JoinAsState => answer(self.set(BOB, "m.room.member", BOB, as_state("join")).await)?,
            Knock => answer(rooms.knock(&bob, room_id, None, 30).await)?,
            KnockAsState => answer(self.set(BOB, "m.room.member", BOB, as_state("knock")).await)?,
            Create => return answer(rooms.create_room(&bob, command, 30).await),
            Upgrade => {
                return answer(rooms.upgrade_room(&bob, room_id, RoomVersionId::V12, Vec::new(), 30).await);
            }
        }
        Ok(room_id.clone())
    }
}

#[tokio::test]
async fn the_same_is_asked_whichever_way_somebody_comes() {
    for against in [
        Nothing,
        BobTakesNoInvitations,
        BobHasNoAccount,
        BobIsDeactivated,
        BobIsAGuest,
        DaveIsAGuest,
        RoomIsKeptToOnePlatform,
        BobsPlatformIsDenied,
        DavesPlatformIsDenied,
        BobsPlatformDemandsEncryption,
    ] {
        for way in WAYS {
            let Some(expected) = expected(way, against) else { continue };
            let context = format!("{way:?}, {against:?}");
            let mut scene = Scene::before(way, against).await;
            scene.hinder(against).await;
            let (rooms, bob) = (scene.world.rooms.clone(), user(BOB));
            let before = rooms.membership(&scene.room_id, &bob).await.expect("read");
            match scene.come(way, against).await {
                Err(refusal) => {
                    assert_eq!(refusal, expected, "{context}");
                    assert_eq!(
                        rooms.membership(&scene.room_id, &bob).await.expect("read"),
                        before,
                        "{context}"
                    );
                }
                Ok(room_id) => {
                    let is = rooms.membership(&room_id, &bob).await.expect("read");
                    assert_eq!(is, Some(way.leads_to()), "{context}");
                    let record = rooms.membership_record(&bob, &room_id).await.expect("read").expect("a row");
                    let hidden = rooms.hides_invitation(&bob, &record.value).await.expect("read");
                    let hidden = hidden && way.leads_to() == MembershipState::Invite;
                    assert_eq!(if hidden { "hidden" } else { "in" }, expected, "{context}");
                    let encryption =
                        rooms.state_event(&room_id, &StateEventType::RoomEncryption, "").await.expect("read");
                    let demanded = against == BobsPlatformDemandsEncryption
                        && !matches!(way, InviteAgain | InviteAgainAsState);
                    assert_eq!(encryption.is_some(), demanded, "{context}");
                }
            }
            assert_eq!(rooms.audit().await.expect("read"), Vec::<String>::new(), "{context}");
        }
    }
}
