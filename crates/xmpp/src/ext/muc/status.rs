//! What a room's numbers say (§16.6), as far as anything follows from them here.

/// In presence and messages: everybody in the room may see one's real address.
pub const NON_ANONYMOUS: u16 = 100;
/// In a message: one's affiliation changed while one was not in the room.
pub const AFFILIATION_CHANGED: u16 = 101;
/// In a message: the room's configuration changed, nothing of which concerns privacy.
pub const CONFIGURATION_CHANGED: u16 = 104;
/// In presence: this is one's own.
pub const SELF_PRESENCE: u16 = 110;
/// What is said is logged, from now on where it comes in a message.
pub const LOGGED: u16 = 170;
/// What is said is not logged any more.
pub const NOT_LOGGED: u16 = 171;
/// From now on everybody in the room may see real addresses.
pub const NOW_NON_ANONYMOUS: u16 = 172;
/// From now on only moderators see real addresses.
pub const NOW_SEMI_ANONYMOUS: u16 = 173;
/// The room was made by this join, and is locked until its owner has configured it.
pub const CREATED: u16 = 201;
/// The room gave, or changed, one's nickname.
pub const NICK_ASSIGNED: u16 = 210;
/// Gone from the room, and never to come back.
pub const BANNED: u16 = 301;
/// Gone under the old nickname: the item has the new one.
pub const NICK_CHANGED: u16 = 303;
/// Gone from the room, thrown out.
pub const KICKED: u16 = 307;
/// Gone for lack of an affiliation that the room now wants.
pub const AFFILIATION_LOST: u16 = 321;
/// Gone because the room is for members only now.
pub const MEMBERS_ONLY: u16 = 322;
/// Gone because the service goes down.
pub const SHUTDOWN: u16 = 332;
/// Gone because of an error on the way: a stanza to the occupant came back, as a rule. Also with 307, which then says nothing.
pub const TECHNICAL: u16 = 333;
