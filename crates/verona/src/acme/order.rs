//! One certificate, from the order to the files.

use super::answers::Answers;
use super::{write, write_pair};
use crate::config::Acme;
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use std::fs;
use std::io;

/// Asks for a certificate, and puts it in its files when it has come.
///
/// # Errors
/// What the authority says, or what stands between us and it.
pub(super) async fn order(acme: &Acme, answers: &Answers) -> io::Result<()> {
    let account = account(acme).await?;
    let names: Vec<Identifier> = acme.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(io::Error::other)?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(io::Error::other)?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            ended @ (AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated) => {
                return Err(io::Error::other(format!("an authorization is {ended:?}")));
            }
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.ok_or_else(|| io::Error::other("the authority does not ask by http-01"))?;
        answers.expect(&challenge.token, challenge.key_authorization().as_str());
        challenge.set_ready().await.map_err(io::Error::other)?;
    }
    let retries = RetryPolicy::default();
    match order.poll_ready(&retries).await.map_err(io::Error::other)? {
        OrderStatus::Ready => {}
        other => return Err(io::Error::other(format!("the order is {other:?}"))),
    }
    let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let wanted = rcgen::CertificateParams::new(acme.domains.clone()).map_err(io::Error::other)?;
    let request = wanted.serialize_request(&key).map_err(io::Error::other)?;
    order.finalize_csr(request.der()).await.map_err(io::Error::other)?;
    let chain = order.poll_certificate(&retries).await.map_err(io::Error::other)?;
    write_pair(&acme.files(), &chain, &key.serialize_pem())
}

/// Our account at the authority: the one that we have, or a new one.
async fn account(acme: &Acme) -> io::Result<Account> {
    let builder = || -> io::Result<AccountBuilder> {
        match &acme.trust {
            Some(path) => Account::builder_with_root(path),
            None => Account::builder(),
        }
        .map_err(io::Error::other)
    };
    if let Ok(known) = fs::read(acme.account()) {
        let known: Known = serde_json::from_slice(&known).map_err(io::Error::other)?;
        if known.directory == acme.directory {
            return builder()?.from_credentials(known.credentials).await.map_err(io::Error::other);
        }
    }
    let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let created = builder()?.create(&wanted, acme.directory.clone(), None).await;
    let (account, credentials) = created.map_err(io::Error::other)?;
    let known = Known { directory: acme.directory.clone(), credentials };
    write(&acme.account(), &serde_json::to_string(&known).map_err(io::Error::other)?)?;
    Ok(account)
}

/// An account, and whose it is.
#[derive(serde::Serialize, serde::Deserialize)]
struct Known {
    directory: String,
    credentials: AccountCredentials,
}
