# Which of the card's two systems boots: docs/boot.md. The card has U-Boot's variables in two copies, which firmware/runner reads and writes too. U-Boot's
# own code for them is of no use: for a Versal it does not look on the card, and it would save every variable that there is.
setenv lm_names BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT lm_trial
setenv BOOT_ORDER
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
setenv lm_trial

# Copies of 0x20 blocks from block 0x400 and 0x600 on; without names, only the checksum is looked at
mmc dev ${devnum}
mmc read 20080000 400 20
mmc read 20090000 600 20
setenv lm_whole
if env import -c 20080000 4000 lm_none; then setenv lm_whole 1; fi
if env import -c 20090000 4000 lm_none; then setenv lm_whole ${lm_whole}2; fi
if test "${lm_whole}" = 12; then
	# Both: the one that was written later, by a count of one byte
	setexpr.b lm_first *20080004
	setexpr.b lm_second *20090004
	setenv lm_whole 1
	if test 0x${lm_second} -gt 0x${lm_first}; then setenv lm_whole 2; fi
	if test ${lm_first}-${lm_second} = ff-0; then setenv lm_whole 2; fi
	if test ${lm_first}-${lm_second} = 0-ff; then setenv lm_whole 1; fi
fi
setenv lm_count 0
setenv lm_block 400
if test "${lm_whole}" = 1; then
	env import -c 20080000 4000 ${lm_names}
	setexpr.b lm_count *20080004
	setenv lm_block 600
fi
if test "${lm_whole}" = 2; then
	env import -c 20090000 4000 ${lm_names}
	setexpr.b lm_count *20090004
fi
if test "${lm_whole}" = ""; then echo "lightmamba: no variables of U-Boot on the card: slot A first"; fi
if test "${BOOT_ORDER}" != "B A"; then setenv BOOT_ORDER "A B"; fi

# Into the copy that is older, then the other one is
setenv lm_save 'env export -c -s 4000 200a0000 ${lm_names}; setexpr lm_count ${lm_count} + 1; setexpr lm_count ${lm_count} "&" ff; mw.b 200a0004 ${lm_count}; mmc write 200a0000 ${lm_block} 20; if test ${lm_block} = 400; then setenv lm_block 600; else setenv lm_block 400; fi'

for slot in ${BOOT_ORDER}; do
	setenv lm_left ${BOOT_A_LEFT}
	setenv lm_part 2
	if test ${slot} = B; then
		setenv lm_left ${BOOT_B_LEFT}
		setenv lm_part 3
	fi
	if test 0x${lm_left} -gt 0; then
		setexpr lm_left ${lm_left} - 1
		setenv BOOT_${slot}_LEFT ${lm_left}
		run lm_save
		echo "lightmamba: slot ${slot}, boots left after this one: ${lm_left}"
		setenv bootargs "console=ttyAMA0,115200 root=@ROOT@-0${lm_part} ro loglevel=4 panic=5 ${lightmamba}"
		if load mmc ${devnum}:${lm_part} ${kernel_addr_r} boot/Image.gz && load mmc ${devnum}:${lm_part} ${fdt_addr_r} boot/system.dtb && load mmc ${devnum}:${lm_part} ${ramdisk_addr_r} boot/initramfs.cpio.gz; then
			booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr_r}
		fi
		echo "lightmamba: slot ${slot} cannot be loaded"
	fi
done

echo "lightmamba: no slot boots: both are tried anew"
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
run lm_save
reset
