# Added to U-Boot's malta_defconfig, big endian, 32 bits.
# CONFIG_TOOLS_MKEFICAPSULE is not set
# A board that starts by itself.
CONFIG_AUTOBOOT=y
CONFIG_BOOTDELAY=2
# The kernel fits the 4 MiB of the board's flash as LZMA alone.
CONFIG_LZMA=y
# The commands that the flasher asks for.
CONFIG_CMD_LOADB=y
CONFIG_CMD_SETEXPR=y
CONFIG_CMD_CRC32=y
CONFIG_CMD_FLASH=y
CONFIG_CMD_SAVEENV=y
CONFIG_CMD_TFTPBOOT=y
# A server need not be root: tftpdstp has its port.
CONFIG_TFTP_PORT=y
