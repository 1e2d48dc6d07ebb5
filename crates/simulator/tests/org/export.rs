//! A real org's export, served in today's form.

use std::{env, fs, path::PathBuf};

use serde_json::json;
use simulator::{Options, Simulator};

use crate::client::World;

/// The real export, where the variable names one; a look-alike otherwise.
#[expect(clippy::print_stdout, reason = "the log says which of the two was tested")]
fn folder(look_alike: &tempfile::TempDir) -> PathBuf {
    if let Some(folder) = env::var_os("SHADOW_SYNC_EXPORT_DIR") {
        return folder.into();
    }
    println!("SHADOW_SYNC_EXPORT_DIR is not set: a look-alike is served instead of a real export");
    let write = |name: &str, text: &str| fs::write(look_alike.path().join(name), text).unwrap();
    write(
        "Product2.csv",
        "\"Id\",\"Name\",\"ProductCode\",\"IsActive\",\"CreatedDate\",\"SystemModstamp\",\"IsDeleted\",\"HasOptions__c\"\n\
         \"01tE0000001IQYOIA4\",\"Second\",\"A\",\"1\",\"2012-08-27 03:20:21\",\"2012-12-31 23:43:12\",\"0\",\"\"\n\
         \"01tE0000001IQYNIA4\",\"First, \"\"quoted\"\"\nand broken\",\"A\",\"1\",\"2012-08-27 03:20:21\",\"2012-12-31 23:43:12\",\"0\",\"1\"\n",
    );
    write(
        "PricebookEntry.csv",
        "\"Id\",\"Pricebook2Id\",\"Product2Id\",\"UnitPrice\",\"IsActive\",\"SystemModstamp\"\n\
         \"01uE0000001NPa6IAG\",\"01sE0000000K9otIAC\",\"01tE0000001IQYNIA4\",\"25000\",\"1\",\"2012-08-27 03:20:21\"\n",
    );
    write("Pricebook2.csv", "\"Id\",\"Name\",\"IsStandard\"\n\"01sE0000000K9otIAC\",\"Standard\",\"1\"\n");
    write(
        "Account.csv",
        "\"Id\",\"Name\",\"ParentId\",\"NumberofLocations__c\",\"SLAExpirationDate__c\"\n\
         \"001E000000M4pZBIAZ\",\"GenePoint\",\"000000000000000AAA\",\"1.0\",\"2012-03-24 00:00:00\"\n",
    );
    look_alike.path().to_owned()
}

#[tokio::test]
async fn an_export_is_served_in_todays_form_with_exactly_its_columns() {
    let look_alike = tempfile::tempdir().unwrap();
    let folder = folder(&look_alike);
    let rows = |name: &str| csv::Reader::from_path(folder.join(name)).unwrap().into_records().count() as u64;
    let world = World::start(Options { data: Some(folder.clone()), ..Options::default() }).await;
    let org = world.simulator.org();
    for object in ["Product2", "PricebookEntry", "Pricebook2", "Account"] {
        assert_eq!(org.count(object), rows(&format!("{object}.csv")), "{object}");
        let mut reader = csv::Reader::from_path(folder.join(format!("{object}.csv"))).unwrap();
        let mut expected: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let description = world.json(&format!("sobjects/{object}/describe")).await;
        let mut found: Vec<String> = description["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field["name"].as_str().unwrap().to_owned())
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }
    let product = org.record("Product2", "01tE0000001IQYNIA4").unwrap();
    assert_eq!((&product["IsActive"], &product["IsDeleted"]), (&json!(true), &json!(false)));
    assert_eq!(product["SystemModstamp"], "2012-12-31T23:43:12.000+0000");
    assert_eq!(
        org.record("PricebookEntry", "01uE0000001NPa6IAG").unwrap()["UnitPrice"].to_string(),
        "25000.0"
    );
    let account = org.record("Account", "001E000000M4pZBIAZ").unwrap();
    assert_eq!(
        (&account["ParentId"], &account["SLAExpirationDate__c"]),
        (&json!(null), &json!("2012-03-24"))
    );
    let job = world.run_job("query", "SELECT Id, IsActive, SystemModstamp FROM Product2").await;
    assert_eq!(&world.page(&job, &[]).await.0[0][2], "2012-12-31T23:43:12.000Z");
    // The design's custom fields belong to another org.
    assert_eq!(world.refused("SELECT Internet_Eligibility__c FROM Account").await.0, "INVALID_FIELD");
    assert_eq!(world.refused("SELECT CurrencyIsoCode FROM PricebookEntry").await.0, "INVALID_FIELD");
}

#[tokio::test]
async fn another_export_is_another_org() {
    let look_alike = tempfile::tempdir().unwrap();
    let folder = folder(&look_alike);
    let served = Simulator::start(Options { data: Some(folder), ..Options::default() }).await.unwrap();
    let made_up = Simulator::start(Options::default()).await.unwrap();
    assert_ne!(served.org().id(), made_up.org().id());
}

#[tokio::test]
async fn a_broken_export_says_which_file_and_record() {
    let empty = tempfile::tempdir().unwrap();
    let options =
        |folder: &tempfile::TempDir| Options { data: Some(folder.path().to_owned()), ..Options::default() };
    let error = Simulator::start(options(&empty)).await.err().unwrap().to_string();
    assert!(error.contains("Account.csv"), "{error}");
    for name in ["Account", "Product2", "Pricebook2", "PricebookEntry"] {
        fs::write(empty.path().join(format!("{name}.csv")), "Id,Name\nnonsense,x\n").unwrap();
    }
    let error = Simulator::start(options(&empty)).await.err().unwrap().to_string();
    assert!(error.contains("record 1") && error.contains("\"nonsense\" is no record id"), "{error}");
}
