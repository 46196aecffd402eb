"""Which endpoint is taken, and what may be sent over it."""

import pytest
from asyncua import ua
from asyncua.crypto import security_policies

from gateway.plugin import RefusedError
from plugins.opcua.session.security import choose_endpoint, sends_plain_password

MODE = ua.MessageSecurityMode
PREFIX = "http://opcfoundation.org/UA/SecurityPolicy#"


def endpoint(name: str, mode: MODE) -> ua.EndpointDescription:
    return ua.EndpointDescription(SecurityPolicyUri=PREFIX + name, SecurityMode=mode)


OFFER = [
    endpoint("None", MODE.None_),
    endpoint("Basic128Rsa15", MODE.SignAndEncrypt),
    endpoint("Basic256Sha256", MODE.SignAndEncrypt),
    endpoint("Aes256_Sha256_RsaPss", MODE.Sign),
    endpoint("Aes128_Sha256_RsaOaep", MODE.SignAndEncrypt),
]


def test_auto_takes_the_strongest_policy_in_the_wanted_mode():
    assert choose_endpoint(OFFER, "auto", "sign_and_encrypt")[0] is security_policies.SecurityPolicyBasic256Sha256
    assert choose_endpoint(OFFER, "auto", "sign")[0] is security_policies.SecurityPolicyAes256Sha256RsaPss


def test_a_named_policy_is_taken_though_a_stronger_one_is_offered():
    chosen, _ = choose_endpoint(OFFER, "Aes128_Sha256_RsaOaep", "sign_and_encrypt")
    assert chosen is security_policies.SecurityPolicyAes128Sha256RsaOaep


def test_broken_policies_are_never_taken_and_said_to_be_so():
    with pytest.raises(RefusedError, match=r"Basic128Rsa15 \(no longer safe, not supported\)"):
        choose_endpoint(OFFER[:2], "auto", "sign_and_encrypt")


@pytest.mark.parametrize(
    ("uri", "mode", "plain"),
    [
        (PREFIX + "None", MODE.Sign, True),
        (None, MODE.None_, True),
        (PREFIX + "None", MODE.SignAndEncrypt, False),
        (PREFIX + "Basic256Sha256", MODE.Sign, False),
    ],
)
def test_a_password_is_readable_unless_token_or_channel_is_encrypted(uri, mode, plain):
    assert sends_plain_password(ua.UserTokenPolicy(SecurityPolicyUri=uri), mode) is plain
