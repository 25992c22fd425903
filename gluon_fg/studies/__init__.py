"""Studies: several methods trained under the same conditions on several seeds, compared with intervals."""
