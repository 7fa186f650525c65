"""The loopback cloud: AWS as container-image users need it, on 127.0.0.1."""
