//! One user from what was known and what has come (§4.6, step 3).

use super::{Endpoint, MAX_PARTS, State, User};

impl User {
    /// What `self` is with what `part` says: all of it where that is full, else what has changed. No longer says that it is a part.
    pub(super) fn with(self, part: User) -> User {
        let mut user = match part.state {
            State::Full | State::Deleted => part,
            State::Partial => {
                let User { entity: _, state: _, display_text, nickname, aors, roles, endpoints } = part;
                let mut user = self;
                replace(&mut user.display_text, display_text);
                replace(&mut user.nickname, nickname);
                if !aors.is_empty() {
                    user.aors = aors;
                }
                if !roles.is_empty() {
                    user.roles = roles;
                }
                endpoints.into_iter().for_each(|endpoint| take(&mut user.endpoints, endpoint));
                return user.settled();
            }
        };
        // There is one endpoint for each key, the last one.
        let endpoints = std::mem::take(&mut user.endpoints);
        endpoints.into_iter().for_each(|endpoint| take(&mut user.endpoints, endpoint));
        user.settled()
    }

    /// As it is kept: whole, and without its media, of which nobody asks.
    fn settled(mut self) -> User {
        self.state = State::Full;
        for endpoint in &mut self.endpoints {
            endpoint.state = State::Full;
            endpoint.media = Vec::new();
        }
        self.endpoints.shrink_to_fit();
        self
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        let text = |text: &base::Str| if text.is_heap_allocated() { text.len() } else { 0 };
        let maybe = |value: &Option<base::Str>| value.as_ref().map_or(0, text);
        let all = |texts: &[base::Str]| texts.iter().map(|t| size_of::<base::Str>() + text(t)).sum::<usize>();
        let endpoint = |e: &Endpoint| {
            let infos = [&e.referred, &e.joining_info, &e.disconnection_info];
            let infos = infos.into_iter().flatten().map(|i| size_of_val(&**i) + maybe(&i.reason) + maybe(&i.by));
            size_of::<Endpoint>() + text(&e.entity) + maybe(&e.display_text) + infos.sum::<usize>()
        };
        let own = text(&self.entity) + maybe(&self.display_text) + maybe(&self.nickname);
        let parts = all(&self.aors) + all(&self.roles) + self.endpoints.iter().map(endpoint).sum::<usize>();
        size_of::<User>() + own + parts
    }
}

/// Takes an endpoint among those that are there.
fn take(endpoints: &mut Vec<Endpoint>, part: Endpoint) {
    let place = endpoints.iter().position(|endpoint| endpoint.entity == part.entity);
    match (place, part.state) {
        (Some(place), State::Deleted) => drop(endpoints.remove(place)),
        (None, State::Deleted) => {}
        (Some(place), State::Full) => endpoints[place] = part,
        (Some(place), State::Partial) => endpoints[place].update(part),
        // The oldest one gives way: what is told of last is what is there.
        (None, State::Full | State::Partial) => {
            if endpoints.len() == MAX_PARTS {
                endpoints.remove(0);
            }
            endpoints.push(part);
        }
    }
}

impl Endpoint {
    fn update(&mut self, part: Endpoint) {
        replace(&mut self.display_text, part.display_text);
        replace(&mut self.referred, part.referred);
        replace(&mut self.status, part.status);
        replace(&mut self.joining_method, part.joining_method);
        replace(&mut self.joining_info, part.joining_info);
        replace(&mut self.disconnection_method, part.disconnection_method);
        replace(&mut self.disconnection_info, part.disconnection_info);
    }
}

/// What is there goes, where something has come.
fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}
