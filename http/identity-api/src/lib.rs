//! The part of Matrix's Identity Service API by which existing clients look people up by their addresses, for
//! the platforms that have turned it on. Addresses are proved and bound by the accounts service, and not
//! here.
//! <https://spec.matrix.org/v1.19/identity-service-api/>

mod account;
mod invitation;
mod lookup;

use http::Method;
use linkspan_platforms::{
    Platform,
    RateClass::{Other, Read, Search},
};
use linkspan_wire::{ApiError, Endpoint, raw_endpoint};
use ruma::api::error::ErrorKind;

/// The table of all endpoints of the Identity Service API.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        raw_endpoint(
            Method::GET,
            &["/_matrix/identity/versions"],
            lookup::get_identity_versions,
            Read,
            "identity-service-api/#get_matrixidentityversions",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/identity/v2"],
            lookup::get_identity_status,
            Read,
            "identity-service-api/#get_matrixidentityv2",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/identity/v2/terms"],
            account::get_terms,
            Read,
            "identity-service-api/#get_matrixidentityv2terms",
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/identity/v2/account/register"],
            account::register_with_openid,
            Other,
            "identity-service-api/#post_matrixidentityv2accountregister",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/identity/v2/account"],
            account::get_identity_account,
            Read,
            "identity-service-api/#get_matrixidentityv2account",
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/identity/v2/account/logout"],
            account::log_out_of_identity,
            Other,
            "identity-service-api/#post_matrixidentityv2accountlogout",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/identity/v2/hash_details"],
            lookup::get_hash_details,
            Read,
            "identity-service-api/#get_matrixidentityv2hash_details",
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/identity/v2/lookup"],
            lookup::look_up,
            Search,
            "identity-service-api/#post_matrixidentityv2lookup",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/identity/v2/pubkey/ephemeral/isvalid"],
            invitation::is_invitation_valid,
            Read,
            "identity-service-api/#get_matrixidentityv2pubkeyephemeralisvalid",
        ),
    ]
}

/// Refuses where the platform does not have it turned on, as if there were no such endpoint.
fn check_open(platform: &Platform) -> Result<(), ApiError> {
    match platform.settings.identity_lookup {
        true => Ok(()),
        false => Err(ApiError::new(
            http::StatusCode::NOT_FOUND,
            ErrorKind::Unrecognized,
            "there is no identity service here",
        )),
    }
}
