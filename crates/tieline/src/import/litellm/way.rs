//! One deployment as a way to a model: who operates it, where, what it hangs on, and which model is behind it.
//!
//! What the file does not say is assumed where there is a good reason, with a remark, and otherwise left out; a place that
//! is taken from the environment is not looked up. Of an address the scheme, the host and a plain path are kept: query and
//! user information may be credentials.

use super::super::mapping::Remarks;
use super::deployment::{Deployment, Said};
use super::model;
use super::provider::{self, Operator, Seat};
use crate::diagnose::{looks_secret, shown};

/// Where nobody is: RFC 6761 keeps the name free.
const NOWHERE: &str = "https://unknown.invalid";

/// Where Vertex is asked unless the file says otherwise (`litellm/llms/vertex_ai/vertex_llm_base.py`).
const VERTEX_DEFAULT: &str = "us-central1";

/// Regions of Azure, as they stand in the names of its hosts.
const AZURE_REGIONS: &[&str] = &[
    "australiacentral",
    "australiaeast",
    "australiasoutheast",
    "brazilsouth",
    "canadacentral",
    "canadaeast",
    "centralindia",
    "centralus",
    "eastasia",
    "eastus",
    "eastus2",
    "francecentral",
    "germanywestcentral",
    "indonesiacentral",
    "israelcentral",
    "italynorth",
    "japaneast",
    "japanwest",
    "koreacentral",
    "koreasouth",
    "malaysiawest",
    "mexicocentral",
    "newzealandnorth",
    "northcentralus",
    "northeurope",
    "norwayeast",
    "polandcentral",
    "qatarcentral",
    "southafricanorth",
    "southcentralus",
    "southeastasia",
    "southindia",
    "spaincentral",
    "swedencentral",
    "switzerlandnorth",
    "switzerlandwest",
    "uaenorth",
    "uksouth",
    "ukwest",
    "westcentralus",
    "westeurope",
    "westus",
    "westus2",
    "westus3",
];

/// How a deployment reaches a model.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// What it depends on directly.
    pub(super) components: Vec<String>,
    pub(super) dialect: Option<&'static str>,
    /// Its host, if the file states one.
    pub(super) host: Option<String>,
    /// The canonical name of the model; none if the file does not tell.
    pub(super) model: Option<String>,
    pub(super) operator: &'static Operator,
    /// tieline's provider.
    pub(super) provider: &'static str,
    pub(super) region: Option<String>,
    /// What the model is called there.
    pub(super) there: String,
    pub(super) url: Option<String>,
}

/// The way of a deployment to `model`, which is its own unless that is a pattern.
pub(super) fn way(deployment: &Deployment, model: &str, remarks: &mut Remarks) -> Way {
    let (operator, name) = operator(deployment, model, remarks);
    let (region, there) = region(deployment, operator, name, remarks);
    let host = match &deployment.base {
        Said::Text(base) => provider::host(base),
        Said::Elsewhere | Said::Nothing => None,
    };
    let model = known_model(deployment, operator, &there, remarks);
    let maker = model.as_deref().and_then(model::maker);
    let mut components = Vec::new();
    match (operator.seat, &region) {
        (Seat::Cloud(cloud), Some(region)) => components.push(format!("region:{cloud}/{region}")),
        (Seat::Cloud(cloud), None) => components.push(format!("cloud:{cloud}")),
        (Seat::Lab(lab), _) => components.push(format!("lab:{lab}")),
        (Seat::Own, _) => components.extend(host.as_deref().and_then(|host| component("machine", host))),
    }
    // What was not handed out stops where its lab says so; open weights stay.
    if let Some(maker) = maker.filter(|maker| maker.weights != model::Weights::Open) {
        let lab = format!("lab:{}", maker.lab);
        if !components.contains(&lab) {
            components.push(lab);
        }
    }
    if operator.is_behind_cloudflare {
        components.push("edge:cloudflare".to_owned());
        remarks.assumed(
            deployment.place,
            "the address is reached through Cloudflare".to_owned(),
            "as the public addresses of these operators are; a way past it would survive that loss",
        );
    }
    let is_claude = maker.is_some_and(|maker| maker.lab == "anthropic");
    let dialect = match operator.provider {
        "bedrock" if !is_claude => Some("openai_chat"),
        "vertex" if is_claude => Some("anthropic_messages"),
        _ => None,
    };
    Way {
        components,
        dialect,
        url: url(deployment, operator, region.as_deref()),
        host,
        model,
        operator,
        provider: operator.provider,
        region,
        there,
    }
}

/// Whose the deployment is, and the model's name there.
fn operator<'m>(
    deployment: &Deployment,
    model: &'m str,
    remarks: &mut Remarks,
) -> (&'static Operator, &'m str) {
    let (prefix, rest) = model.split_once('/').unwrap_or(("", model));
    let stated = deployment.provider.as_deref();
    let (found, name) = match stated {
        Some(stated) => {
            let name = if prefix == stated { rest } else { model };
            (provider::find(stated), name)
        }
        None => match provider::find(prefix) {
            Some(operator) => (Some(operator), rest),
            None if prefix.is_empty() => (provider::of_bare(&model::canonical(model)), model),
            None => (None, model),
        },
    };
    let operator = found.unwrap_or_else(|| {
        remarks.assumed(
            deployment.place,
            format!("nothing is known of the provider of `{}`", shown(model)),
            "it counts as a machine of its own, with no cloud and no lab behind it but that of the model's name",
        );
        &provider::OTHER
    });
    (elsewhere(deployment, operator, name, remarks), name)
}

/// The operator behind an address that the file states beside a prefix: `openai/` stands for any server of that dialect.
fn elsewhere(
    deployment: &Deployment,
    operator: &'static Operator,
    name: &str,
    remarks: &mut Remarks,
) -> &'static Operator {
    let is_fixed = matches!(
        operator.seat,
        Seat::Cloud("aws" | "azure" | "gcp" | "ibm" | "oracle") | Seat::Own
    );
    match &deployment.base {
        Said::Text(base) if !is_fixed => {
            let Some(host) = provider::host(base) else {
                return operator;
            };
            if provider::at(&host)
                .is_some_and(|at| at.provider == operator.provider && at.url == operator.url)
            {
                return operator;
            }
            provider::at(&host).unwrap_or(match operator.provider {
                "anthropic" => &ANTHROPIC_COMPATIBLE,
                _ => &provider::OTHER,
            })
        }
        Said::Elsewhere if operator.prefix == "openai" => {
            let maker = model::maker(&model::canonical(name));
            let is_openais =
                maker.is_some_and(|maker| maker.lab == "openai" && maker.weights == model::Weights::Closed);
            remarks.assumed(
                deployment.place,
                format!("the address of `{}` is taken from the environment", shown(name)),
                if is_openais {
                    "it is taken to be OpenAI's own, for the model is"
                } else {
                    "it counts as a machine of its own"
                },
            );
            if is_openais { operator } else { &provider::OTHER }
        }
        _ => operator,
    }
}

/// A server of one's own that speaks Anthropic's dialect.
const ANTHROPIC_COMPATIBLE: Operator = Operator {
    provider: "anthropic-compatible",
    ..provider::OTHER
};

// === region ===

/// Where it is, and the model's name without what says so.
fn region(
    deployment: &Deployment,
    operator: &Operator,
    name: &str,
    remarks: &mut Remarks,
) -> (Option<String>, String) {
    let stated = match &deployment.region {
        Said::Text(region) => Some(region.to_ascii_lowercase()),
        Said::Elsewhere | Said::Nothing => None,
    };
    let (region, there) = match operator.seat {
        Seat::Cloud("aws") => aws(stated, name),
        Seat::Cloud("azure") => (azure(deployment, stated, remarks), name.to_owned()),
        Seat::Cloud("gcp") => {
            let nothing_said = deployment.region == Said::Nothing;
            if nothing_said {
                remarks.assumed(
                    deployment.place,
                    format!("a deployment on Vertex is in {VERTEX_DEFAULT}"),
                    "LiteLLM asks there unless `vertex_location` says otherwise",
                );
            }
            let region = stated.or_else(|| nothing_said.then(|| VERTEX_DEFAULT.to_owned()));
            (region.filter(|region| region != "global"), name.to_owned())
        }
        Seat::Cloud("ibm" | "oracle") => (stated, name.to_owned()),
        _ => return (None, name.to_owned()),
    };
    let is_name = |region: &String| {
        region.len() <= 60
            && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !region.is_empty()
    };
    let region = region.filter(is_name);
    if region.is_none() && !matches!(deployment.region, Said::Text(_)) {
        remarks.assumed(
            deployment.place,
            if deployment.region == Said::Elsewhere {
                format!(
                    "the region of a deployment on {} is taken from the environment",
                    operator.prefix
                )
            } else {
                format!("no region is stated for a deployment on {}", operator.prefix)
            },
            "it falls with its cloud and with no region, so the loss of a region may take more than is shown",
        );
    }
    (region, there)
}

/// Bedrock's names may begin with a way of asking and a region, or be ARNs, which hold one.
fn aws(stated: Option<String>, name: &str) -> (Option<String>, String) {
    if let Some(rest) = name.split_once("arn:aws").map(|(_, rest)| rest) {
        let region = rest.split(':').nth(2).filter(|region| is_aws_region(region));
        return (
            region.map(str::to_owned).or(stated),
            "application-inference-profile".to_owned(),
        );
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    let region = parts
        .iter()
        .copied()
        .find(|part| is_aws_region(part))
        .map(str::to_owned);
    let says_how = |part: &&str| is_aws_region(part) || part.ends_with("-commitment") || HOWS.contains(part);
    parts.retain(|part| !says_how(part));
    (region.or(stated), parts.join("/"))
}

/// Ways of asking that stand in names of Bedrock's models (`litellm/llms/bedrock/common_utils.py`).
const HOWS: [&str; 5] = ["converse", "converse_like", "invoke", "mantle", "openai"];

/// `us-east-1`, `us-gov-west-1`.
fn is_aws_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    (3..=4).contains(&parts.len())
        && first.len() == 2
        && last.len() == 1
        && last.bytes().all(|b| b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Stated, or the name of the host tells it: `eastus.api.cognitive.microsoft.com`, `contoso-eastus2.openai.azure.com`.
fn azure(deployment: &Deployment, stated: Option<String>, remarks: &mut Remarks) -> Option<String> {
    if let Some(region) = stated.filter(|region| AZURE_REGIONS.contains(&region.as_str())) {
        return Some(region);
    }
    let Said::Text(base) = &deployment.base else {
        return None;
    };
    let host = provider::host(base)?;
    let label = host.split('.').next()?;
    if host.ends_with(".api.cognitive.microsoft.com") && AZURE_REGIONS.contains(&label) {
        return Some(label.to_owned());
    }
    let region = label
        .split(['-', '_'])
        .find(|word| AZURE_REGIONS.contains(word))?;
    remarks.assumed(
        deployment.place,
        format!("the host `{}` is in {region}, as its name says", shown(&host)),
        "names of hosts are free; state `region_name` to be sure",
    );
    Some(region.to_owned())
}

// === model and address ===

/// The canonical name of the model, if the file tells.
fn known_model(
    deployment: &Deployment,
    operator: &Operator,
    there: &str,
    remarks: &mut Remarks,
) -> Option<String> {
    if let Some(base) = &deployment.base_model {
        return Some(model::as_name(&model::canonical(base)));
    }
    match operator.prefix {
        "azure" | "azure_text" => {
            let found = model::of_azure(there)?;
            remarks.assumed(
                deployment.place,
                format!(
                    "the deployment `{}` on Azure is the model `{found}`",
                    shown(there)
                ),
                "names of Azure's deployments are free; state `base_model` to be sure",
            );
            Some(found)
        }
        "sagemaker" | "sagemaker_chat" => None,
        _ if there == "application-inference-profile" => None,
        _ => Some(model::as_name(&model::canonical(there))).filter(|name| !name.is_empty()),
    }
}

/// The address, where tieline does not know it by the provider and region.
fn url(deployment: &Deployment, operator: &Operator, region: Option<&str>) -> Option<String> {
    if let Said::Text(base) = &deployment.base
        && let Some(host) = provider::host(base)
    {
        let scheme = if base.starts_with("http://") {
            "http"
        } else {
            "https"
        };
        let path = if operator.provider == "azure" {
            String::new()
        } else {
            path(base)
        };
        let url = format!("{scheme}://{host}{path}");
        return Some(if crate::check::is_url(&url) {
            url
        } else {
            NOWHERE.to_owned()
        });
    }
    if !operator.url.is_empty() {
        return Some(operator.url.to_owned());
    }
    let known = crate::check::provider::find(operator.provider).map(|provider| provider.url);
    match known {
        Some(crate::check::provider::UrlDefault::Fixed(_)) if deployment.base == Said::Nothing => None,
        Some(crate::check::provider::UrlDefault::OfRegion(_)) if region.is_some() => None,
        _ => Some(NOWHERE.to_owned()),
    }
}

/// A plain path, without the version that every dialect's own path begins with.
fn path(base: &str) -> String {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let parts = rest.split('/').skip(1).filter(|part| !part.is_empty());
    let plain = |part: &&str| {
        part.len() <= 32
            && !looks_secret(part)
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let parts: Vec<&str> = parts.take_while(plain).collect();
    let parts = match parts.as_slice() {
        [before @ .., "v1"] => before,
        all => all,
    };
    if parts.is_empty() {
        String::new()
    } else {
        format!("/{}", parts.join("/"))
    }
}

/// A component of a host, unless nothing of its name can stand in one.
pub(super) fn component(kind: &str, host: &str) -> Option<String> {
    let part = part(host);
    (!part.is_empty()).then(|| format!("{kind}:{part}"))
}

/// A text as a part of a name, which has no `:` of its own.
pub(super) fn part(text: &str) -> String {
    let fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let part: String = text
        .chars()
        .take(PART_CHARS_MAX)
        .map(|c| if fit(c) { c } else { '-' })
        .collect();
    part.trim_matches('-').to_owned()
}

/// Characters that are kept of a host: with its kind a component has at most 128.
const PART_CHARS_MAX: usize = 90;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(model: &str, base: Said, region: Said) -> Way {
        let deployment = Deployment {
            base,
            region,
            model: model.to_owned(),
            ..Deployment::default()
        };
        way(&deployment, model, &mut Remarks::default())
    }

    /// Model, address, region; provider, what it needs, model. `-` says nothing, `$` is the environment.
    const HANGS_ON: &str = "
        gpt-4o - - openai lab:openai,edge:cloudflare gpt-4o
        openai/gpt-4o $ - openai lab:openai,edge:cloudflare gpt-4o
        openai/my-llama $ - openai-compatible - my-llama
        openai/llama-3.1-8b http://gpu-1.internal:8000/v1 - openai-compatible machine:gpu-1.internal-8000 llama-3.1-8b
        openai/meta-llama/Llama-3-70b https://api.together.xyz/v1 - openai-compatible cloud:together,edge:cloudflare llama-3-70b
        azure/gpt-4o-eu https://a-swedencentral.openai.azure.com/ - azure region:azure/swedencentral,lab:openai gpt-4o
        azure/main $ eu azure cloud:azure -
        bedrock/converse/eu-west-1/eu.anthropic.claude-v1:0 - us-east-1 bedrock region:aws/eu-west-1,lab:anthropic claude
        bedrock/arn:aws:bedrock:us-west-2:123456789012:inference-profile/abc - - bedrock region:aws/us-west-2 -
        bedrock/meta.llama3-1-8b-instruct-v1:0 - $ bedrock cloud:aws llama-3.1-8b-instruct
        vertex_ai/gemini-2.5-pro - - vertex region:gcp/us-central1,lab:google gemini-2.5-pro
        vertex_ai/claude-opus-4@20250514 - global vertex cloud:gcp,lab:anthropic claude-opus-4-20250514
        ollama/llama3:8b http://localhost:11434 - ollama machine:localhost-11434 llama3:8b
        anthropic/claude-x https://relay.example/k?key=v - anthropic-compatible machine:relay.example,lab:anthropic claude-x
        nobody/thing - - openai-compatible - thing";

    #[test]
    fn what_a_deployment_hangs_on() {
        let said = |text: &str| match text {
            "-" => Said::Nothing,
            "$" => Said::Elsewhere,
            text => Said::Text(text.to_owned()),
        };
        for line in HANGS_ON.lines().skip(1) {
            let [model, base, region, expected @ ..] = &*line.split_whitespace().collect::<Vec<_>>() else {
                panic!("{line}");
            };
            let way = of(model, said(base), said(region));
            let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            let needs = or_none(way.components.join(","));
            let name = or_none(way.model.unwrap_or_default());
            assert_eq!([way.provider, &needs, &name], expected, "{line}");
        }
    }

    #[test]
    fn of_an_address_only_the_plain_is_kept() {
        let check = |base: &str, expected: &str| {
            let way = of("openai/x", Said::Text(base.to_owned()), Said::Nothing);
            assert_eq!(way.url.as_deref(), Some(expected), "{base}");
        };
        check("https://h.example/v1", "https://h.example");
        check("https://u:p@h.example/a/v1?key=s", "https://h.example/a");
        check(
            "https://h.example/sk-abcdefghijklmnop0123/v1",
            "https://h.example",
        );
        check("http://10.0.0.1:9000/", "http://10.0.0.1:9000");
    }
}
