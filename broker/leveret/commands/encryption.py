"""Ciphers and hashes of RabbitMQ's encrypted values (rabbit_pbe), which are checked before they are refused."""

from __future__ import annotations

#: `list_ciphers` on Erlang 29 with OpenSSL 3.
CIPHERS = (
    *("chacha20", "aes_256_ofb", "aes_192_ofb", "aes_128_ofb", "sm4_ctr", "sm4_ofb", "sm4_cfb", "sm4_cbc"),
    *("blowfish_ofb64", "blowfish_cfb64", "blowfish_cbc", "des_ede3_cfb", "des_cfb", "des_cbc", "rc4"),
    *("rc2_cbc", "aes_128_cbc", "aes_192_cbc", "aes_256_cbc", "aes_128_cfb128", "aes_192_cfb128"),
    *("aes_256_cfb128", "aes_128_cfb8", "aes_192_cfb8", "aes_256_cfb8", "aes_256_ctr", "aes_192_ctr"),
    *("aes_128_ctr", "des_ede3_cbc", "aes_cbc", "aes_cfb128", "aes_cfb8", "aes_ctr"),
)

#: `list_hashes`.
HASHES = (
    *("blake2s", "blake2b", "sm3", "shake256", "shake128", "sha3_512", "sha3_384", "sha3_256", "sha3_224"),
    *("sha512_256", "sha512_224", "sha512", "sha384", "sha256", "sha224", "sha", "ripemd160", "md5", "md4"),
)
