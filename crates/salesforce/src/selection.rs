//! Which objects send change events, and on which channels.

use futures::StreamExt;
use serde::Deserialize;
use shadow::{ObjectName, event::ChannelName};

use crate::{Client, Error};

/// One object's membership in one channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChannelMember {
    /// The channel as Salesforce writes it here: `ChangeEvents`, `ShadowSync__chn`.
    pub event_channel: String,
    /// The event as Salesforce writes it here: `Product2ChangeEvent`.
    pub selected_entity: String,
}

impl ChannelMember {
    /// Whether this is the membership of an object in a channel. An object's own topic belongs to no channel: any
    /// membership will do for it.
    pub fn is_of(&self, channel: &ChannelName, object: &ObjectName) -> bool {
        let own_topic = ChannelName::of_object(object);
        let event = own_topic.as_str().trim_start_matches("/data/");
        let selected = self.selected_entity == event || self.selected_entity == object.as_str();
        let bare = |name: &str| name.trim_start_matches("/data/").to_owned();
        selected && (*channel == own_topic || bare(&self.event_channel) == bare(channel.as_str()))
    }
}

impl Client {
    /// All memberships in the org.
    ///
    /// - **Errors:** a refusal where the user may not look into the setup.
    /// - **Source:** a Tooling query of `PlatformEventChannelMember`, one call. Changes show within ten minutes.
    pub async fn channel_members(&self) -> Result<Vec<ChannelMember>, Error> {
        let soql = "SELECT EventChannel, SelectedEntity FROM PlatformEventChannelMember";
        let mut members = Vec::new();
        let mut pages = std::pin::pin!(self.tooling_query(soql));
        while let Some(page) = pages.next().await {
            for record in page?.records {
                let member = serde_json::from_str(record.get()).map_err(|_| Error::Unreadable {
                    operation: "tooling query",
                    reason: "a channel's member has a shape that this version does not know".to_owned(),
                })?;
                members.push(member);
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(channel: &str, entity: &str) -> ChannelMember {
        ChannelMember { event_channel: channel.to_owned(), selected_entity: entity.to_owned() }
    }

    #[test]
    fn membership_is_known_by_channel_and_event() {
        let channel = |name: &str| ChannelName::parse(name).unwrap();
        let product = ObjectName::product();
        let all = channel("/data/ChangeEvents");
        let custom = channel("/data/ShadowSync__chn");
        assert!(member("ChangeEvents", "Product2ChangeEvent").is_of(&all, &product));
        assert!(member("/data/ShadowSync__chn", "Product2ChangeEvent").is_of(&custom, &product));
        assert!(!member("ChangeEvents", "Product2ChangeEvent").is_of(&custom, &product));
        assert!(!member("ChangeEvents", "AccountChangeEvent").is_of(&all, &product));
        let own_topic = channel("/data/Product2ChangeEvent");
        assert!(member("ShadowSync__chn", "Product2ChangeEvent").is_of(&own_topic, &product));
        let promotion = ObjectName::parse("Promo__c").unwrap();
        assert!(member("ChangeEvents", "Promo__ChangeEvent").is_of(&all, &promotion));
    }
}
