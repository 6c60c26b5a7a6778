//! What there is in the gateway, for tests that look behind the wires.

use super::Player;

impl Player {
    /// What the gateway still has: messages under way, chats, dialogs, MSRP sessions, connections.
    pub fn left(&mut self) -> [usize; 5] {
        let connections = self.connections.in_use();
        let gateway = self.gateway();
        let dialogs = gateway.session_counts();
        [
            gateway.under_way(),
            gateway.chat_count(),
            dialogs.sessions + dialogs.ending,
            gateway.msrp_counts().sessions,
            connections,
        ]
    }

    /// What the gateway still has of rooms: places of SIP users, places of XMPP users, subscriptions.
    pub fn left_of_rooms(&mut self) -> [usize; 3] {
        let gateway = self.gateway();
        let (participants, occupants) = gateway.seat_counts();
        let subscriptions = gateway.subscription_counts();
        [participants, occupants, subscriptions.subscribers + subscriptions.notifiers]
    }

    /// The places in rooms, of SIP users and of XMPP users.
    pub fn seats(&mut self) -> [Vec<stox::room::Seat>; 2] {
        let gateway = self.gateway();
        [gateway.participants(), gateway.occupants()]
    }
}
