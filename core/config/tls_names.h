/*
 * tls_names - the names that openssl_options and rustls_cipher_suites accept.
 */
#pragma once

#define OPENSSL_OPTION_NAMES(X)                                                                    \
    X(0, "DONT_INSERT_EMPTY_FRAGMENTS")                                                            \
    X(0, "ALL")                                                                                    \
    X(0, "NO_QUERY_MTU")                                                                           \
    X(0, "COOKIE_EXCHANGE")                                                                        \
    X(0, "NO_TICKET")                                                                              \
    X(0, "NO_SESSION_RESUMPTION_ON_RENEGOTIATION")                                                 \
    X(0, "NO_COMPRESSION")                                                                         \
    X(0, "ALLOW_UNSAFE_LEGACY_RENEGOTIATION")                                                      \
    X(0, "SINGLE_ECDH_USE")                                                                        \
    X(0, "SINGLE_DH_USE")                                                                          \
    X(0, "CIPHER_SERVER_PREFERENCE")                                                               \
    X(0, "TLS_ROLLBACK_BUG")                                                                       \
    X(0, "NO_SSLV2")                                                                               \
    X(0, "NO_SSLV3")                                                                               \
    X(0, "NO_TLSV1")                                                                               \
    X(0, "NO_TLSV1_1")                                                                             \
    X(0, "NO_TLSV1_2")                                                                             \
    X(0, "NO_TLSV1_3")                                                                             \
    X(0, "NO_DTLSV1")                                                                              \
    X(0, "NO_DTLSV1_2")                                                                            \
    X(0, "NO_SSL_MASK")                                                                            \
    X(0, "ENABLE_MIDDLEBOX_COMPAT")                                                                \
    X(0, "PRIORITIZE_CHACHA")                                                                      \
    X(0, "NO_RENEGOTIATION")                                                                       \
    X(0, "CRYPTOPRO_TLSEXT_BUG")                                                                   \
    X(0, "IGNORE_UNEXPECTED_EOF")

#define RUSTLS_SUITE_NAMES(X)                                                                      \
    X(0, "TLS13_AES_256_GCM_SHA384")                                                               \
    X(0, "TLS13_AES_128_GCM_SHA256")                                                               \
    X(0, "TLS13_CHACHA20_POLY1305_SHA256")                                                         \
    X(0, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")                                                \
    X(0, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")                                                \
    X(0, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")                                          \
    X(0, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")                                                  \
    X(0, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")                                                  \
    X(0, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256")
