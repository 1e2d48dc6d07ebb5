//! Which objects are selected for change events, on which channels, and what a topic's name means.

use std::collections::{BTreeMap, BTreeSet};

use super::schema::event_name;
use crate::{error::Error, schema::Schema};

/// Objects that may be selected, over all channels.
const SELECTABLE: usize = 5;
/// The name of the default channel among the members of channels.
pub const DEFAULT_CHANNEL: &str = "ChangeEvents";

/// The channels and their members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channels(BTreeMap<String, BTreeSet<String>>);

/// What a client subscribes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Topic {
    /// The default channel or a custom one, by its name without the path.
    Channel(String),
    /// One object's own topic.
    Object(String),
}

impl Channels {
    /// The default channel with these objects, and custom channels.
    pub fn new(selected: &[String], custom: &[(String, Vec<String>)]) -> Self {
        let members = |objects: &[String]| objects.iter().cloned().collect();
        let mut channels = BTreeMap::from([(DEFAULT_CHANNEL.to_owned(), members(selected))]);
        channels.extend(custom.iter().map(|(name, objects)| (name.clone(), members(objects))));
        Self(channels)
    }

    /// Reports whether any channel has the object.
    pub fn is_selected(&self, object: &str) -> bool {
        self.0.values().any(|members| members.contains(object))
    }

    /// Reports whether events of an object are on a topic.
    pub fn carries(&self, topic: &Topic, object: &str) -> bool {
        match topic {
            Topic::Channel(name) => self.0.get(name).is_some_and(|members| members.contains(object)),
            Topic::Object(own) => own == object && self.is_selected(object),
        }
    }

    /// Puts an object on a channel, which is made if need be, or takes it off.
    pub fn set(&mut self, channel: &str, object: &str, member: bool) -> Result<(), Error> {
        if !is_channel_name(channel) {
            return Err(Error::NoChannel(channel.to_owned()));
        }
        let mut changed = self.clone();
        let members = changed.0.entry(channel.to_owned()).or_default();
        if member {
            members.insert(object.to_owned());
        } else {
            members.remove(object);
        }
        let selected: BTreeSet<&String> = changed.0.values().flatten().collect();
        if member && selected.len() > SELECTABLE {
            return Err(Error::TooManySelected(SELECTABLE));
        }
        *self = changed;
        Ok(())
    }

    /// Removes a custom channel.
    pub fn remove(&mut self, channel: &str) {
        if channel != DEFAULT_CHANNEL {
            self.0.remove(channel);
        }
    }

    /// Pairs of channel and object.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|(channel, members)| members.iter().map(|member| (channel.as_str(), member.as_str())))
    }

    /// What a topic's name means, if there is such a topic. Names are case-sensitive.
    pub fn topic(&self, name: &str, schema: &Schema) -> Option<Topic> {
        let name = name.strip_prefix("/data/")?;
        if self.0.contains_key(name) {
            return Some(Topic::Channel(name.to_owned()));
        }
        let offers =
            |object: &&crate::schema::Object| has_events(&object.name) && event_name(&object.name) == name;
        schema.objects.iter().find(offers).map(|object| Topic::Object(object.name.clone()))
    }
}

/// Reports whether an org sends change events of an object.
pub fn has_events(object: &str) -> bool {
    matches!(object, "Account" | "Product2" | "Pricebook2" | "PricebookEntry") || object.ends_with("__c")
}

fn is_channel_name(name: &str) -> bool {
    name == DEFAULT_CHANNEL
        || name.strip_suffix("__chn").is_some_and(|name| {
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels() -> Channels {
        Channels::new(&["Product2".to_owned()], &[("Shop__chn".to_owned(), vec!["Account".to_owned()])])
    }

    #[test]
    fn a_channel_carries_its_members_and_an_objects_topic_what_is_selected_anywhere() {
        let channels = channels();
        let all = Topic::Channel(DEFAULT_CHANNEL.to_owned());
        let shop = Topic::Channel("Shop__chn".to_owned());
        let account = Topic::Object("Account".to_owned());
        assert!(channels.carries(&all, "Product2") && !channels.carries(&all, "Account"));
        assert!(channels.carries(&shop, "Account") && !channels.carries(&shop, "Product2"));
        assert!(channels.carries(&account, "Account") && !channels.carries(&account, "Product2"));
        assert!(!channels.carries(&Topic::Object("Pricebook2".to_owned()), "Pricebook2"));
    }

    #[test]
    fn five_objects_are_the_most_and_one_on_two_channels_counts_once() {
        let mut channels = channels();
        for object in ["Account", "Pricebook2", "PricebookEntry", "Promo__c"] {
            channels.set(DEFAULT_CHANNEL, object, true).unwrap();
        }
        assert!(channels.set(DEFAULT_CHANNEL, "Other__c", true).is_err());
        channels.set(DEFAULT_CHANNEL, "Promo__c", false).unwrap();
        channels.set("Third__chn", "Other__c", true).unwrap();
        assert!(channels.set("no channel", "Account", true).is_err());
        assert_eq!(channels.members().filter(|(_, object)| *object == "Account").count(), 2);
    }
}
