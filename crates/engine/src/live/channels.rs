//! Which channels are subscribed, and which objects each should carry.

use shadow::event::ChannelName;
use shadow::ids::InvalidId;
use shadow::{Mapping, ObjectName};

/// A channel to be subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// The mapped objects that it should carry.
    pub objects: Vec<ObjectName>,
}

/// The channels of an environment: the configured one with every object, else one topic per object.
///
/// - **Errors:** the configured name is no channel.
pub(crate) fn channels(configured: Option<&str>, mappings: &[Mapping]) -> Result<Vec<Channel>, InvalidId> {
    let objects = || mappings.iter().map(|mapping| mapping.object.clone());
    match configured {
        Some(name) => Ok(vec![Channel { name: ChannelName::parse(name)?, objects: objects().collect() }]),
        None => Ok(objects()
            .map(|object| Channel { name: ChannelName::of_object(&object), objects: vec![object] })
            .collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_channel_every_object_has_its_own_topic() {
        let channels = channels(None, &Mapping::built_in()).unwrap();
        let names: Vec<_> = channels.iter().map(|channel| channel.name.to_string()).collect();
        assert_eq!(
            names,
            ["/data/Product2ChangeEvent", "/data/PricebookEntryChangeEvent", "/data/AccountChangeEvent"]
        );
    }

    #[test]
    fn a_configured_channel_carries_all() {
        let channels = channels(Some("/data/ShadowSync__chn"), &Mapping::built_in()).unwrap();
        assert_eq!((channels.len(), channels[0].objects.len()), (1, 3));
        assert!(super::channels(Some("ShadowSync"), &Mapping::built_in()).is_err());
    }
}
