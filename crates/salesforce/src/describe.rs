//! What an object and its fields look like to the signed-in user.

use shadow::{ObjectInfo, ObjectName};

use crate::{Client, Error};

impl Client {
    /// Describes one object.
    ///
    /// - **Shape:** describe's field names in describe's letter case; only fields that the user may read.
    /// - **Errors:** `NOT_FOUND` or `INVALID_TYPE` where the object does not exist *or* the user may not see it:
    ///   Salesforce does not tell the two apart.
    /// - **Source:** `GET /sobjects/<object>/describe`, one call.
    pub async fn describe(&self, object: &ObjectName) -> Result<ObjectInfo, Error> {
        let answer = self.get("describe", &self.data_path(&format!("/sobjects/{object}/describe"))).await?;
        answer.json("describe").await
    }
}
