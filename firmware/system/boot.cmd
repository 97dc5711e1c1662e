# The same as extlinux.conf, for a U-Boot that looks for boot.scr only
setenv bootargs "console=ttyAMA0,115200 root=@ROOT@ ro loglevel=4 ${lightmamba}"
load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} Image.gz
load ${devtype} ${devnum}:${distro_bootpart} ${fdt_addr_r} system.dtb
load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} initramfs.cpio.gz
booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr_r}
