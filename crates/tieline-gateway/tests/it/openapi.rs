//! The OpenAPI document, as the admin listener serves it and keeps to it.

use tieline_testkit::{Auto, Channel};

use crate::house::{self, AUDITOR, OFFICER, OPERATOR, Plan, READER};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_does_what_its_document_says() {
    let a = Channel::start(Auto::saying("From a")).unwrap();
    let house = Plan::new(vec![house::openai("a", &a)]).start().await;
    let document = house.admin(READER, "GET", "/openapi.json", "").await.json();
    assert_eq!(document, tieline_gateway::openapi());
    for (path, item) in document["paths"].as_object().unwrap() {
        let item = item.as_object().unwrap();
        let here = path.replace("{rest}", "nonsense");
        let undone = house.admin(OPERATOR, "DELETE", &here, "").await;
        // Whoever may not see what is there is told that first.
        assert!([403, 405].contains(&undone.status()), "{path}: {undone:?}");
        for method in item.keys() {
            let says = item[method]["description"].as_str();
            for (number, role) in [
                (AUDITOR, "auditor"),
                (OFFICER, "officer"),
                (OPERATOR, "operator"),
                (READER, "reader"),
            ] {
                // A body that nothing reads: what may not is refused before, and what may changes nothing.
                let reply = house.admin(number, &method.to_uppercase(), &here, "{").await;
                let may = says.is_none_or(|says| says.contains(role));
                assert_eq!(
                    reply.status() == 403,
                    !may,
                    "{method} {path} as {role}: {reply:?}"
                );
                assert_ne!(reply.status(), 405, "{method} {path}");
                let is_tile = path.starts_with("/tile/");
                assert!(reply.status() != 404 || is_tile, "{method} {path}: {reply:?}");
            }
        }
    }
    house.stop().await;
}
