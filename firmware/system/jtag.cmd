# QEMU's boot mode says JTAG, in which U-Boot runs the script at 0x20000000: this one boots the card. Behind it may be lines like
# `lightmamba=lightmamba.poweroff`, variables of U-Boot.
env import -t 0x20010000 0x1000
run bootcmd_mmc0
