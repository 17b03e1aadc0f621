"""The system's OpenSSL (``libssl.so.3``), called through cffi without a compiler.

The operating system's updates mend it, and keys of session tickets can be given from outside: so a client that comes back to another worker
is resumed there. It is Python's own ``ssl`` module's library too, as a rule; they do not get in each other's way.

One pair of memory BIOs serves all connections: each call leaves both empty, as OpenSSL takes out all that came in, and all that it wrote is taken
at once. So a connection needs none of its own, which saves half a kilobyte and more where much went through it.
"""

from __future__ import annotations

from typing import Any

from balancer.tls.library import Library

__all__ = ["LEAST_VERSION", "NAMES", "System"]

LEAST_VERSION = 0x30000000

NAMES = ("libssl.so.3", "libssl.3.dylib")

_DECLARATIONS = """
typedef struct ssl_st SSL; typedef struct ssl_ctx_st SSL_CTX; typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_session_st SSL_SESSION; typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct bio_st BIO; typedef struct bio_method_st BIO_METHOD; typedef struct x509_st X509; typedef struct x509_crl_st X509_CRL;
typedef struct x509_store_st X509_STORE; typedef struct x509_store_ctx_st X509_STORE_CTX;
typedef struct evp_pkey_st EVP_PKEY; typedef struct evp_cipher_st EVP_CIPHER; typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_mac_ctx_st EVP_MAC_CTX;
typedef struct { const char *key; unsigned int data_type; void *data; size_t data_size; size_t return_size; } OSSL_PARAM;

int BIO_free(BIO *); BIO *BIO_new(const BIO_METHOD *); BIO *BIO_new_mem_buf(const void *, int);
int BIO_read(BIO *, void *, int); const BIO_METHOD *BIO_s_mem(void); int BIO_write(BIO *, const void *, int); int BIO_up_ref(BIO *);
void ERR_clear_error(void); unsigned long ERR_get_error(void); const char *ERR_reason_error_string(unsigned long);
void EVP_PKEY_free(EVP_PKEY *); const char *OpenSSL_version(int); unsigned long OpenSSL_version_num(void);
EVP_PKEY *PEM_read_bio_PrivateKey(BIO *, EVP_PKEY **, void *, void *); X509 *PEM_read_bio_X509(BIO *, X509 **, void *, void *);
const char *SSL_CIPHER_get_name(const SSL_CIPHER *);
long SSL_CTX_callback_ctrl(SSL_CTX *, int, void (*)(void)); long SSL_CTX_ctrl(SSL_CTX *, int, long, void *);
int SSL_CTX_check_private_key(const SSL_CTX *); void SSL_CTX_free(SSL_CTX *); X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *);
int SSL_CTX_load_verify_locations(SSL_CTX *, const char *, const char *); SSL_CTX *SSL_CTX_new(const SSL_METHOD *);
void SSL_CTX_set_alpn_select_cb(SSL_CTX *, int (*)(SSL *, unsigned char **, unsigned char *, unsigned char *, unsigned int, void *), void *);
int SSL_CTX_set_cipher_list(SSL_CTX *, const char *); int SSL_CTX_set_ciphersuites(SSL_CTX *, const char *);
int SSL_CTX_set_num_tickets(SSL_CTX *, size_t); uint64_t SSL_CTX_set_options(SSL_CTX *, uint64_t);
int SSL_CTX_set_session_id_context(SSL_CTX *, const unsigned char *, unsigned int); long SSL_CTX_set_timeout(SSL_CTX *, long);
int SSL_CTX_set_tlsext_ticket_key_evp_cb(SSL_CTX *, int (*)(SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int));
void SSL_CTX_set_verify(SSL_CTX *, int, int (*)(int, X509_STORE_CTX *)); int SSL_CTX_add_client_CA(SSL_CTX *, X509 *);
int SSL_CTX_use_PrivateKey(SSL_CTX *, EVP_PKEY *); int SSL_CTX_use_certificate_chain_file(SSL_CTX *, const char *);
void SSL_SESSION_free(SSL_SESSION *); long SSL_ctrl(SSL *, int, long, void *);
int SSL_do_handshake(SSL *); void SSL_free(SSL *); void SSL_get0_alpn_selected(const SSL *, const unsigned char **, unsigned int *);
SSL_SESSION *SSL_get1_session(SSL *); X509 *SSL_get_certificate(const SSL *); const SSL_CIPHER *SSL_get_current_cipher(const SSL *);
X509 *SSL_get1_peer_certificate(const SSL *);
int SSL_get_error(const SSL *, int); const char *SSL_get_servername(const SSL *, int); long SSL_get_verify_result(const SSL *);
const char *SSL_get_version(const SSL *); SSL *SSL_new(SSL_CTX *); int SSL_read(SSL *, void *, int);
int SSL_session_reused(const SSL *); int SSL_set_alpn_protos(SSL *, const unsigned char *, unsigned int); SSL_CTX *SSL_set_SSL_CTX(SSL *, SSL_CTX *); void SSL_set_accept_state(SSL *);
void SSL_set_bio(SSL *, BIO *, BIO *); void SSL_set_connect_state(SSL *); int SSL_set_session(SSL *, SSL_SESSION *);
void SSL_set_shutdown(SSL *, int); int SSL_shutdown(SSL *); int SSL_write(SSL *, const void *, int); const SSL_METHOD *TLS_method(void);
X509 *X509_STORE_CTX_get_current_cert(const X509_STORE_CTX *); int X509_STORE_CTX_get_error_depth(const X509_STORE_CTX *);
void X509_STORE_CTX_set_error(X509_STORE_CTX *, int); void X509_CRL_free(X509_CRL *); int X509_STORE_add_cert(X509_STORE *, X509 *); int X509_STORE_add_crl(X509_STORE *, X509_CRL *);
int X509_STORE_set_flags(X509_STORE *, unsigned long); void X509_free(X509 *); const char *X509_verify_cert_error_string(long);
X509_CRL *d2i_X509_CRL_bio(BIO *, X509_CRL **); X509 *d2i_X509_bio(BIO *, X509 **); int i2d_X509_bio(BIO *, const X509 *);

void *CRYPTO_malloc(size_t, const char *, int);
EVP_CIPHER *EVP_CIPHER_fetch(void *, const char *, const char *);
int EVP_EncryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const unsigned char *, const unsigned char *);
int EVP_DecryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const unsigned char *, const unsigned char *);
int EVP_MAC_CTX_set_params(EVP_MAC_CTX *, const OSSL_PARAM *);
"""

# Of openssl/ssl.h and openssl/tls1.h, the same in all of OpenSSL 3.
_CTRL_MODE, _CTRL_READ_AHEAD, _CTRL_SESSION_CACHE = 33, 41, 44
_CTRL_NAME_CALLBACK, _CTRL_NAME = 53, 55
_CTRL_STATUS_CALLBACK, _CTRL_STAPLE = 63, 71
_CTRL_GROUPS, _CTRL_LEAST_VERSION = 92, 123
_SMALL = 0x10 | 0x2  # SSL_MODE_RELEASE_BUFFERS, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
_NO_TICKETS = 0x4000


class System(Library):
    """The system's.

    Raises:
        OSError: if there is none, or one too old.
    """

    has_ticket_keys = True

    def __init__(self) -> None:
        import cffi

        ffi = cffi.FFI()
        ffi.cdef(_DECLARATIONS)
        lib = _opened(ffi)
        if lib.OpenSSL_version_num() < LEAST_VERSION:
            raise OSError(f"{ffi.string(lib.OpenSSL_version(0)).decode()} is older than 3.0")
        super().__init__("system", ffi, lib)
        self.ticket_cipher = lib.EVP_CIPHER_fetch(ffi.NULL, b"AES-256-CBC", ffi.NULL)
        if not self.ticket_cipher:
            raise OSError("this OpenSSL has no AES-256-CBC")
        self._in, self._out = super().bios()

    def bios(self) -> tuple[Any, Any]:
        """Return the pair that all connections share."""
        self.lib.BIO_up_ref(self._in)
        self.lib.BIO_up_ref(self._out)
        return self._in, self._out

    def prepare(self, context: Any) -> None:
        """Set the modes of a new SSL_CTX."""
        self.lib.SSL_CTX_ctrl(context, _CTRL_MODE, _SMALL, self.null)
        self.lib.SSL_CTX_ctrl(context, _CTRL_READ_AHEAD, 1, self.null)

    def limit_versions(self, context: Any, least: int) -> None:
        """Allow no version older than ``least``."""
        self.demand(self.lib.SSL_CTX_ctrl(context, _CTRL_LEAST_VERSION, least, self.null), "the least version")

    def set_groups(self, context: Any, groups: bytes) -> bool:
        """Set the groups for key exchange."""
        if self.lib.SSL_CTX_ctrl(context, _CTRL_GROUPS, 0, self.ffi.from_buffer(groups + b"\0")) == 1:
            return True
        self.ERR_clear_error()
        return False

    def choose_by_name(self, context: Any, callback: Any) -> None:
        """Have ``callback`` called for each client."""
        self.lib.SSL_CTX_callback_ctrl(context, _CTRL_NAME_CALLBACK, self.ffi.cast("void (*)(void)", callback))

    def staple_by(self, context: Any, callback: Any) -> None:
        """Have ``callback`` called where a client asks for a staple."""
        self.lib.SSL_CTX_callback_ctrl(context, _CTRL_STATUS_CALLBACK, self.ffi.cast("void (*)(void)", callback))

    def staple(self, ssl: Any, response: bytes) -> None:
        """Send ``response``; OpenSSL frees the copy."""
        copy = self.lib.CRYPTO_malloc(len(response), self.null, 0)
        self.ffi.memmove(copy, response, len(response))
        self.lib.SSL_ctrl(ssl, _CTRL_STAPLE, len(response), copy)

    def ask_for(self, ssl: Any, name: bytes) -> None:
        """Send ``name`` as SNI."""
        self.lib.SSL_ctrl(ssl, _CTRL_NAME, 0, self.ffi.from_buffer(name + b"\0"))

    def peer_certificate(self, ssl: Any) -> Any:
        """Return the peer's certificate, to be freed."""
        return self.lib.SSL_get1_peer_certificate(ssl)

    def cache_nothing(self, context: Any) -> None:
        """Keep no sessions of clients."""
        self.lib.SSL_CTX_ctrl(context, _CTRL_SESSION_CACHE, 0, self.null)

    def forget_tickets(self, context: Any) -> None:
        """Give out no tickets."""
        self.lib.SSL_CTX_set_options(context, _NO_TICKETS)
        self.lib.SSL_CTX_set_num_tickets(context, 0)


def _opened(ffi: Any) -> Any:
    """Return the functions of libssl, and through it those of libcrypto.

    dlsym looks into the libraries that the one it is asked about has loaded; so one handle is enough.
    """
    failed: OSError | None = None
    for name in NAMES:
        try:
            return ffi.dlopen(name)
        except OSError as error:
            failed = failed or error
    assert failed is not None
    raise failed
